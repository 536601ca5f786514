/** All that an audit trail is written to: each gets every line. */
import type { SessionTerms } from '@firebreak/policy'
import type { ChainEnd } from './chain.ts'
import { type Output, type OutputEvents, openOutput, openRemote, type RemoteOutput } from './outputs.ts'
import type { AuditTarget, RemoteTarget } from './target.ts'

type OnFailure = SessionTerms['audit']['onFailure']

/** While nobody may have a session yet there are few. */
const mostFirstLines = 1_000

export class FanOut {
  readonly #outputs: Output[]
  readonly #events: OutputEvents
  /** Sinks elsewhere that somebody names later, by their spools. */
  readonly #followed = new Map<string, RemoteOutput>()
  /** The first lines, for sinks that are yet to be named. */
  #first: string[] | undefined

  /**
   * @param othersFollow there will be a {@link follow}: those get the lines from the first one on.
   * @throws the system's error when one, or the spool that an earlier process left, can't be opened.
   */
  static async open(
    targets: readonly AuditTarget[],
    events: OutputEvents,
    othersFollow: boolean,
  ): Promise<FanOut> {
    const outputs: Output[] = []
    try {
      for (const target of targets) outputs.push(await openOutput(target, events))
    } catch (error) {
      for (const output of outputs) await output.close()
      throw error
    }
    return new FanOut(outputs, events, othersFollow ? [] : undefined)
  }

  private constructor(outputs: Output[], events: OutputEvents, first: string[] | undefined) {
    this.#outputs = outputs
    this.#events = events
    this.#first = first
  }

  /**
   * Where several end in the same chain, one may have got a little less of it than another when the process was killed:
   * what all have is what can be gone on from.
   */
  get end(): ChainEnd | undefined {
    const ends = this.#outputs.flatMap(({ end }) => end ?? [])
    // references sort by time
    const newest = ends
      .map(({ source }) => source)
      .sort()
      .at(-1)
    return ends.filter(({ source }) => source === newest).sort((a, b) => a.seq - b.seq)[0]
  }

  /** @param droppableAs its number, where it may be dropped by what can't take it. */
  write(line: string, droppableAs: number | undefined): void {
    for (const output of this.#outputs) output.write(line, droppableAs)
    if (this.#first && this.#first.push(line) > mostFirstLines) this.#first = undefined
  }

  /** Whether no more lines can be taken now. */
  blocks(onFailure: OnFailure): boolean {
    return this.#outputs.some((output) => output.blocks(onFailure))
  }

  /** @returns undefined while more lines can be taken. */
  ready(onFailure: OnFailure): Promise<void> | undefined {
    return this.blocks(onFailure) ? this.#untilReady(onFailure) : undefined
  }

  /** By sink: bytes that it has not got yet. */
  *waiting(): Iterable<readonly [string, number]> {
    for (const { name, waiting } of this.#outputs) yield [name, waiting]
  }

  /**
   * Makes the sinks elsewhere be these, besides those that it was opened with. One that is there already goes on, and is
   * asked with what the target says now; one that is gone gets what it can within some seconds.
   *
   * @throws the system's error when a spool can't be opened.
   */
  async follow(targets: readonly RemoteTarget[]): Promise<void> {
    const wanted = new Set(targets.map(({ spool }) => spool.directory))
    for (const target of targets) {
      const { directory } = target.spool
      const known = this.#followed.get(directory)
      if (known) {
        await known.renew(target)
        continue
      }
      const output = await openRemote(target, this.#events)
      for (const line of this.#first ?? []) output.write(line, undefined)
      this.#followed.set(directory, output)
      this.#outputs.push(output)
    }
    this.#first = undefined
    for (const [directory, output] of this.#followed) {
      if (wanted.has(directory)) continue
      this.#followed.delete(directory)
      this.#outputs.splice(this.#outputs.indexOf(output), 1)
      await output.close()
    }
  }

  tellDropped(): void {
    for (const output of this.#outputs) output.tellDropped()
  }

  /** @returns how many lines could not be written, not even to the spool. */
  async close(): Promise<number> {
    const lost = await Promise.all(this.#outputs.map((output) => output.close()))
    return lost.reduce((sum, count) => sum + count, 0)
  }

  async #untilReady(onFailure: OnFailure): Promise<void> {
    while (this.blocks(onFailure)) await Promise.all(this.#outputs.map((output) => output.ready(onFailure)))
  }
}

/** A response on its way through its mask; where it is compressed, that is undone before. */
import type { Transform } from 'node:stream'
import { bodyStages } from '../bodies/stages.ts'
import type { BodyMask } from '../request.ts'
import { KeptBody } from './kept.ts'

export interface MaskedBodyReceiver {
  /** @param unmasked what they were before, where that is kept; it may be empty. */
  readonly give: (bytes: Buffer, unmasked?: Buffer) => void
  /** Nothing goes out for what was there. Absent: what was there is not kept. */
  readonly keep?: ((unmasked: Buffer) => void) | undefined
  readonly done: () => void
  /** The rest can't be masked with certainty. */
  readonly refused: (problem: string) => void
}

export class Masking {
  readonly #mask: BodyMask
  readonly #to: MaskedBodyReceiver
  /** Absent where there is nothing to undo: bytes pass without streams in between. */
  readonly #first: Transform | undefined
  readonly #kept: KeptBody | undefined
  #waiting: (() => void) | undefined

  constructor(mask: BodyMask, to: MaskedBodyReceiver) {
    this.#to = to
    this.#kept = to.keep && new KeptBody(to.keep)
    this.#mask = this.#kept?.watch(mask) ?? mask
    if (mask.codings.length > 0) this.#first = this.#connect(bodyStages(this.#mask))
  }

  /** @returns whether more can be taken now; otherwise {@link drained} says when. */
  push(chunk: Buffer): boolean {
    if (this.#first) return this.#first.write(chunk, this.#looked)
    const masked = this.#mask.push(chunk)
    if (masked.ok) for (const bytes of masked.value) this.#give(bytes)
    else this.#to.refused(masked.error)
    return true
  }

  end(): void {
    if (this.#first) {
      this.#first.end()
      return
    }
    const rest = this.#mask.end()
    if (!rest.ok) {
      this.#to.refused(rest.error)
      return
    }
    for (const bytes of rest.value) this.#give(bytes)
    this.#done()
  }

  drained(tell: () => void): void {
    this.#first?.once('drain', tell)
  }

  /** Tells once it is known whether what has come may pass: now, or when it is decompressed. */
  settled(tell: () => void): void {
    if (this.#first && this.#first.writableLength > 0) this.#waiting = tell
    else tell()
  }

  /** What a stream gives on, the next ones have looked at before anything else happens. */
  readonly #looked = (): void => {
    if (this.#waiting) setImmediate(this.#waiting)
    this.#waiting = undefined
  }

  #give(bytes: Buffer): void {
    this.#to.give(bytes, this.#kept?.take())
  }

  #done(): void {
    this.#kept?.flush()
    this.#to.done()
  }

  #connect(stages: readonly Transform[]): Transform | undefined {
    const [first, ...others] = stages
    let last = first
    for (const stage of stages) stage.on('error', (error: Error) => this.#to.refused(error.message))
    for (const stage of others) last = last?.pipe(stage)
    last?.on('data', (bytes: Buffer) => this.#give(bytes)).on('end', () => this.#done())
    return first
  }
}

/** A response on its way through its mask; where it is compressed, that is undone before. */
import type { Transform } from 'node:stream'
import { bodyStages } from '../bodies/stages.ts'
import type { BodyMask } from '../request.ts'

export interface MaskedBodyReceiver {
  readonly give: (bytes: Buffer) => void
  readonly done: () => void
  /** The rest can't be masked with certainty. */
  readonly refused: (problem: string) => void
}

export class Masking {
  readonly #mask: BodyMask
  readonly #to: MaskedBodyReceiver
  /** Absent where there is nothing to undo: bytes pass without streams in between. */
  readonly #first: Transform | undefined

  constructor(mask: BodyMask, to: MaskedBodyReceiver) {
    this.#mask = mask
    this.#to = to
    if (mask.codings.length > 0) this.#first = this.#connect(bodyStages(mask))
  }

  /** @returns whether more can be taken now; otherwise {@link drained} says when. */
  push(chunk: Buffer): boolean {
    if (this.#first) return this.#first.write(chunk)
    const masked = this.#mask.push(chunk)
    if (masked.ok) for (const bytes of masked.value) this.#to.give(bytes)
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
    for (const bytes of rest.value) this.#to.give(bytes)
    this.#to.done()
  }

  drained(tell: () => void): void {
    this.#first?.once('drain', tell)
  }

  #connect(stages: readonly Transform[]): Transform | undefined {
    const [first, ...others] = stages
    let last = first
    for (const stage of stages) stage.on('error', (error: Error) => this.#to.refused(error.message))
    for (const stage of others) last = last?.pipe(stage)
    last?.on('data', (bytes: Buffer) => this.#to.give(bytes)).on('end', () => this.#to.done())
    return first
  }
}

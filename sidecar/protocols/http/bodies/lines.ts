/** Cuts text into lines, however it comes cut itself. */
import { Output } from '../../output.ts'
import { maximumValueBytes } from './text-mask.ts'

/** A line with what ends it. Where it was too long, `isCut`: all that is left of it is whether it ended. */
export interface Line {
  readonly text: string
  readonly isCut: boolean
}

const lineFeed = 0x0a

export class Lines {
  readonly #held = new Output()
  #heldBytes = 0

  /** @returns what came after the last line's end. */
  rest(): Line | undefined {
    return this.#heldBytes === 0 ? undefined : this.#take(false)
  }

  *of(chunk: Buffer): Generator<Line> {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      this.#hold(chunk, start, end + 1)
      yield this.#take(true)
      start = end + 1
    }
    this.#hold(chunk, start, chunk.length)
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    this.#heldBytes += end - start
    if (this.#heldBytes <= maximumValueBytes) this.#held.copy(chunk, start, end)
  }

  #take(hasEnd: boolean): Line {
    const isCut = this.#heldBytes > maximumValueBytes
    const held = this.#held.take().toString()
    this.#heldBytes = 0
    return { text: isCut ? (hasEnd ? '\n' : '') : held, isCut }
  }
}

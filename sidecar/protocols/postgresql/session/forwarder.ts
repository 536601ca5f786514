/** One direction of a session: what goes on as it came, and what goes in its stead, in order and in one write. */
import type { Socket } from 'node:net'
import type { SessionRecorder } from '../../../session.ts'
import type { FrameReader } from '../codec/frame-reader.ts'

/** Up to this many bytes, putting parts together costs less than writing them one by one. */
const joinUpTo = 16 * 1024

export class Forwarder {
  readonly reader: FrameReader
  /** Bytes handed over since somebody last set it to 0. */
  bytes = 0
  /** Is shown what is handed over. */
  recorder: SessionRecorder | undefined
  readonly #to: Socket
  /** Start of the frames of the chunk that go on as they are; -1 when there are none. */
  #from = -1
  readonly #parts: Buffer[] = []
  #length = 0

  constructor(reader: FrameReader, to: Socket) {
    this.reader = reader
    this.#to = to
  }

  /** The current frame goes on as it is. */
  forward(): void {
    if (this.#from < 0) this.#from = this.reader.start
  }

  /**
   * A message that did not come from the other side, after all frames before the current one.
   *
   * @param unmasked what came, where masks made the message of it and that is recorded.
   */
  send(message: Buffer, unmasked?: Buffer): void {
    this.skip()
    this.#take(message, unmasked)
  }

  /** The current frame does not go on. */
  skip(): void {
    if (this.#from >= 0) this.#takeFrames(this.reader.start)
  }

  /** Bytes of frames that go on and have not been handed over, with the current one. */
  get ahead(): number {
    return this.#from < 0 ? 0 : this.reader.end - this.#from
  }

  /** The current frame was the last one for now: everything is written. */
  write(): void {
    if (this.#from >= 0) this.#takeFrames(this.reader.end)
    const parts = this.#parts
    const [first] = parts
    if (first === undefined) return
    const to = this.#to
    if (parts.length === 1) to.write(first)
    else if (this.#length <= joinUpTo) to.write(Buffer.concat(parts, this.#length))
    else {
      to.cork()
      for (const part of parts) to.write(part)
      to.uncork()
    }
    parts.length = 0
    this.#length = 0
  }

  #takeFrames(end: number): void {
    const { buffer } = this.reader
    const from = this.#from
    this.#from = -1
    this.#take(from === 0 && end === buffer.length ? buffer : buffer.subarray(from, end))
  }

  #take(bytes: Buffer, unmasked?: Buffer): void {
    this.bytes += bytes.length
    this.#length += bytes.length
    this.#parts.push(bytes)
    this.recorder?.response(bytes, unmasked)
  }
}

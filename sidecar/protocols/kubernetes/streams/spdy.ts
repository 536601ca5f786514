/** SPDY/3.1 as far as port-forward needs it: which streams a client opens. https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1 */
import { createInflate, type Inflate } from 'node:zlib'
import type { Result } from '../../../session.ts'
import { headerDictionary } from './spdy-dictionary.ts'

export type SpdyHeaders = ReadonlyMap<string, string>

export interface SpdyFrame {
  /** As it came. */
  readonly bytes: Buffer
  /** Of a stream that it opens. */
  readonly opens?: SpdyHeaders
}

const headLength = 8
const maximumFrame = 1024 * 1024
/** A client's headers are a few short words; what is compressed could be far more. */
const maximumHeaders = 1024

const version = 3
const types = { open: 1, reset: 3, settings: 4, ping: 6, goAway: 7, window: 9 } as const
const withoutHeaders: ReadonlySet<number> = new Set([
  types.reset,
  types.settings,
  types.ping,
  types.goAway,
  types.window,
])

/** Reads what a client sends, cut anywhere. */
export class SpdyReader implements Disposable {
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary })
  readonly #inflated: Buffer[] = []
  #held = Buffer.alloc(0)
  #isBroken = false

  constructor() {
    this.#inflate
      .on('data', (bytes: Buffer) => this.#inflated.push(bytes))
      .on('error', () => {
        this.#isBroken = true
      })
  }

  /** @returns the frames that are whole now; or why these bytes are none. */
  async push(chunk: Buffer): Promise<Result<readonly SpdyFrame[], string>> {
    this.#held = Buffer.concat([this.#held, chunk])
    const frames: SpdyFrame[] = []
    for (;;) {
      if (this.#held.length < headLength) return { ok: true, value: frames }
      const length = headLength + this.#held.readUIntBE(5, 3)
      if (length > maximumFrame) return problem('a frame is longer than any')
      if (this.#held.length < length) return { ok: true, value: frames }
      const frame = await this.#read(this.#held.subarray(0, length))
      if (!frame.ok) return frame
      frames.push(frame.value)
      this.#held = this.#held.subarray(length)
    }
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy()
  }

  async #read(bytes: Buffer): Promise<Result<SpdyFrame, string>> {
    const isControl = (bytes.readUInt8(0) & 0x80) !== 0
    if (!isControl) return { ok: true, value: { bytes } }
    if ((bytes.readUInt16BE(0) & 0x7fff) !== version) return problem('it is not SPDY/3.1')
    const type = bytes.readUInt16BE(2)
    if (withoutHeaders.has(type)) return { ok: true, value: { bytes } }
    if (type !== types.open || bytes.length < openLength) return problem('a client sends no such frame')
    const opens = await this.#headers(bytes.subarray(openLength))
    return opens.ok ? { ok: true, value: { bytes, opens: opens.value } } : opens
  }

  /** All headers of a connection are compressed as one text. */
  async #headers(compressed: Buffer): Promise<Result<SpdyHeaders, string>> {
    if (compressed.length > maximumHeaders) return problem('the headers are longer than any')
    this.#inflated.length = 0
    await new Promise<void>((resolve) => {
      this.#inflate.once('error', () => resolve())
      this.#inflate.write(compressed, () => resolve())
    })
    const headers = this.#isBroken ? undefined : readHeaders(Buffer.concat(this.#inflated))
    return headers ? { ok: true, value: headers } : problem('the headers can not be read')
  }
}

/** The frame's head, the stream, the one that it belongs to, and its priority. */
const openLength = headLength + 10

function readHeaders(bytes: Buffer): SpdyHeaders | undefined {
  const headers = new Map<string, string>()
  let at = 0
  const number = (): number => {
    const value = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : Number.NaN
    at += 4
    return value
  }
  const text = (): string => {
    const end = number() + at
    const value = bytes.subarray(at, end).toString('latin1')
    at = end
    return value
  }
  const count = number()
  for (let each = 0; each < count; each++) {
    const [name, value] = [text(), text()]
    // several values stand in one, with zeros between them
    if (!(at <= bytes.length) || headers.has(name) || /[^!-~]|[A-Z]/.test(name) || /[^ -~]/.test(value))
      return undefined
    headers.set(name, value)
  }
  return count <= maximumHeaders && at === bytes.length ? headers : undefined
}

function problem(error: string): Result<never, string> {
  return { ok: false, error }
}

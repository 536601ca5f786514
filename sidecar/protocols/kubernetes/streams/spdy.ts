/** SPDY/3.1 as clients of Kubernetes send it: bytes → frames. https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1 */
import { createInflate, type Inflate } from 'node:zlib'
import type { Result } from '../../../session.ts'
import { headerDictionary } from './spdy-dictionary.ts'

export type SpdyHeaders = ReadonlyMap<string, string>

/** Some of a frame of data, or all of it. */
export interface SpdyData {
  readonly kind: 'data'
  readonly stream: number
  readonly data: Buffer
  /** The frame ends with it. */
  readonly isWhole: boolean
  /** The stream does. */
  readonly isLast: boolean
}

export type SpdyFrame =
  | { readonly kind: 'opens'; readonly stream: number; readonly headers: SpdyHeaders }
  | SpdyData
  | { readonly kind: 'resets'; readonly stream: number }
  | { readonly kind: 'pings'; readonly id: number }
  | { readonly kind: 'leaves' }
  /** Nobody who speaks SPDY in Kubernetes keeps windows. */
  | { readonly kind: 'widens' }

export interface SpdyPart {
  /** As it came: a control frame, or some of a frame of data. */
  readonly bytes: Buffer
  readonly frame: SpdyFrame
}

const headLength = 8
/** The frame's head, the stream, the one that it belongs to, and its priority. */
const openLength = headLength + 10
/** A client's headers are a few short words; what is compressed could be far more. */
const maximumHeaders = 1024
const maximumInflated = 16 * 1024

const version = 3
const types = { opens: 1, resets: 3, pings: 6, leaves: 7, widens: 9 } as const
/** What else a client sends (RST_STREAM, PING, GOAWAY, WINDOW_UPDATE), by length: servers read that much, whatever the frame says. */
const lengths: ReadonlyMap<number, number> = new Map([
  [types.resets, 8],
  [types.pings, 4],
  [types.leaves, 8],
  [types.widens, 8],
])
/** The only flag that clients set: a frame of data is the last of its stream. */
const lastOfStream = 1

const unknownFrame = 'a client sends no such frame'

type Read = Result<SpdyPart | undefined, string>
const nothingYet: Read = { ok: true, value: undefined }

/** Reads what a client sends, cut anywhere. */
export class SpdyReader implements Disposable {
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary })
  #inflated = Buffer.alloc(0)
  /** The beginning of a frame: never more than a control frame may have. */
  #held = Buffer.alloc(0)
  /** Of a frame of data: how much of it is still to come, with its head. */
  #dataLeft = 0
  #dataHead = Buffer.alloc(headLength)
  #isBroken = false
  /** Tells that what was written last has been looked at. */
  #settled = (): void => {}

  constructor() {
    this.#inflate
      .on('data', (bytes: Buffer) => {
        if (this.#inflated.length + bytes.length > maximumInflated) this.#isBroken = true
        else this.#inflated = Buffer.concat([this.#inflated, bytes])
      })
      .on('error', () => {
        this.#isBroken = true
        this.#settled()
      })
  }

  /** @returns what may be looked at now; or why these bytes are no frames. */
  async push(chunk: Buffer): Promise<Result<readonly SpdyPart[], string>> {
    let rest = Buffer.concat([this.#held, chunk])
    const parts: SpdyPart[] = []
    for (;;) {
      const next = await this.#next(rest)
      if (!next.ok) return next
      if (!next.value) break
      parts.push(next.value)
      rest = rest.subarray(next.value.bytes.length)
    }
    this.#held = Buffer.from(rest)
    return { ok: true, value: parts }
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy()
  }

  async #next(bytes: Buffer): Promise<Read> {
    if (this.#dataLeft > 0) return this.#data(bytes)
    if (bytes.length < headLength) return nothingYet
    const length = headLength + bytes.readUIntBE(5, 3)
    const isControl = (bytes.readUInt8(0) & 0x80) !== 0
    if (!isControl) {
      if ((bytes.readUInt8(4) & ~lastOfStream) !== 0) return problem(unknownFrame)
      this.#dataLeft = length
      this.#dataHead = Buffer.from(bytes.subarray(0, headLength))
      return this.#data(bytes, headLength)
    }
    const error = controlProblem(bytes, length)
    if (error !== undefined) return problem(error)
    return bytes.length < length ? nothingYet : await this.#control(bytes.subarray(0, length))
  }

  /** @param from where its data begins. */
  #data(bytes: Buffer, from = 0): Read {
    if (bytes.length === 0) return nothingYet
    const part = bytes.subarray(0, this.#dataLeft)
    this.#dataLeft -= part.length
    const isWhole = this.#dataLeft === 0
    const isLast = isWhole && this.#dataHead.readUInt8(4) === lastOfStream
    const stream = this.#dataHead.readUInt32BE(0)
    const frame: SpdyData = { kind: 'data', stream, data: part.subarray(from), isWhole, isLast }
    return { ok: true, value: { bytes: part, frame } }
  }

  async #control(bytes: Buffer): Promise<Read> {
    const first = bytes.readUInt32BE(headLength)
    switch (bytes.readUInt16BE(2)) {
      case types.opens: {
        const headers = await this.#headers(bytes.subarray(openLength))
        if (!headers.ok) return headers
        return { ok: true, value: { bytes, frame: { kind: 'opens', stream: first, headers: headers.value } } }
      }
      case types.resets:
        return { ok: true, value: { bytes, frame: { kind: 'resets', stream: first } } }
      case types.pings:
        return { ok: true, value: { bytes, frame: { kind: 'pings', id: first } } }
      case types.leaves:
        return { ok: true, value: { bytes, frame: { kind: 'leaves' } } }
      default:
        return { ok: true, value: { bytes, frame: { kind: 'widens' } } }
    }
  }

  /** All headers of a connection are compressed as one text. */
  async #headers(compressed: Buffer): Promise<Result<SpdyHeaders, string>> {
    this.#inflated = Buffer.alloc(0)
    await new Promise<void>((resolve) => {
      this.#settled = resolve
      this.#inflate.write(compressed, () => resolve())
    })
    const headers = this.#isBroken ? undefined : readHeaders(this.#inflated)
    return headers ? { ok: true, value: headers } : problem('the headers can not be read')
  }
}

/** @param bytes with a frame's head at least. @returns why no client sends such a frame. */
function controlProblem(bytes: Buffer, length: number): string | undefined {
  if ((bytes.readUInt16BE(0) & 0x7fff) !== version) return 'it is not SPDY/3.1'
  const type = bytes.readUInt16BE(2)
  if (bytes.readUInt8(4) !== 0) return unknownFrame
  if (type !== types.opens) return lengths.get(type) === length - headLength ? undefined : unknownFrame
  return length < openLength || length > openLength + maximumHeaders
    ? 'the headers are shorter or longer than any'
    : undefined
}

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

/** A client of HTTP/2 that sends frames as it is told, however wrong they are. https://www.rfc-editor.org/rfc/rfc9113 */
import { connect, type Socket } from 'node:net'

export type HeaderField = readonly [name: string, value: string]

export const frames = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  continuation: 9,
} as const
export const endStream = 0x1
export const endHeaders = 0x4
const acknowledged = 0x1

/** What came back on a stream. */
export interface Heard {
  /** Absent where there was no answer. */
  readonly status?: number
  readonly text: string
  /** The stream or the connection was ended with an error. */
  readonly broken: boolean
}

export class RawHttp2 implements Disposable {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #status: number | undefined
  #text = ''
  readonly #heard = Promise.withResolvers<Heard>()

  constructor(address: { readonly host: string; readonly port: number }) {
    this.socket = connect({ ...address, allowHalfOpen: false })
    this.socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.socket.on('error', () => {}).on('close', () => this.#over(true))
    this.socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    // no table of what was said before: each field comes as it is
    this.send(frames.settings, 0, 0, Buffer.from([0, 1, 0, 0, 0, 0]))
  }

  /** @returns what came on the first stream that ended, or that the connection did. */
  get heard(): Promise<Heard> {
    return this.#heard.promise
  }

  send(type: number, flags: number, stream: number, payload: Buffer): void {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head.writeUInt8(type, 3)
    head.writeUInt8(flags, 4)
    head.writeUInt32BE(stream, 5)
    if (this.socket.writable) this.socket.write(Buffer.concat([head, payload]))
  }

  request(fields: readonly HeaderField[], body: string | undefined, stream = 1): void {
    const isAll = body === undefined
    this.send(frames.headers, endHeaders | (isAll ? endStream : 0), stream, headerBlock(fields))
    if (!isAll) this.send(frames.data, endStream, stream, Buffer.from(body, 'latin1'))
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #over(broken: boolean): void {
    this.#heard.resolve({
      ...(this.#status !== undefined && { status: this.#status }),
      text: this.#text,
      broken,
    })
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    while (this.#received.length >= 9) {
      const length = this.#received.readUIntBE(0, 3)
      if (this.#received.length < 9 + length) return
      const [type, flags] = [this.#received.readUInt8(3), this.#received.readUInt8(4)]
      const payload = this.#received.subarray(9, 9 + length)
      this.#received = this.#received.subarray(9 + length)
      this.#hear(type, flags, payload)
    }
  }

  #hear(type: number, flags: number, payload: Buffer): void {
    if (type === frames.settings && (flags & acknowledged) === 0)
      this.send(frames.settings, acknowledged, 0, Buffer.alloc(0))
    if (type === frames.headers) this.#status ??= statusIn(payload)
    if (type === frames.data) this.#text += payload.toString('latin1')
    if (type === frames.reset || type === frames.goaway) this.#over(true)
    else if ((type === frames.headers || type === frames.data) && (flags & endStream) !== 0) this.#over(false)
  }
}

/** Each field literally, never indexed, never compressed. https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2 */
export function headerBlock(fields: readonly HeaderField[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]))
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.concat([integer(bytes.length), bytes])
}

/** With a prefix of 7 bits. https://www.rfc-editor.org/rfc/rfc7541#section-5.1 */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128)
  return Buffer.from([...bytes, rest])
}

/** Indices 8 to 14 of the static table. */
const indexed = [200, 204, 206, 304, 400, 404, 500]

/** The status is the first field of an answer. */
function statusIn(block: Buffer): number | undefined {
  let at = 0
  // the table is made smaller before
  while (((block[at] ?? 0) & 0xe0) === 0x20) at++
  const first = block[at] ?? 0
  if (first & 0x80) return indexed[(first & 0x7f) - 8]
  const [length = 0, ...value] = block.subarray(at + 1)
  const bytes = value.slice(0, length & 0x7f)
  return Number(length & 0x80 ? digitsOf(bytes) : String.fromCharCode(...bytes))
}

/** Digits as HPACK compresses them: 0 to 2 in five bits, the others in six. https://www.rfc-editor.org/rfc/rfc7541#appendix-B */
function digitsOf(bytes: readonly number[]): string {
  const bits = bytes.map((byte) => byte.toString(2).padStart(8, '0')).join('')
  let digits = ''
  for (let at = 0; digits.length < 3; ) {
    const short = Number.parseInt(bits.slice(at, at + 5), 2)
    digits += short <= 2 ? short : Number.parseInt(bits.slice(at, at + 6), 2) - 0x16
    at += short <= 2 ? 5 : 6
  }
  return digits
}

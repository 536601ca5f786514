/** For tests: what a client of SPDY sends. */
import { constants, createDeflate, type Deflate } from 'node:zlib'
import { headerDictionary } from './spdy-dictionary.ts'

export type Pairs = readonly (readonly [name: string, value: string])[]

/** A client's side: all headers of a connection are one compressed text. */
export class SpdyClient {
  readonly #deflate: Deflate
  readonly #compressed: Buffer[] = []

  constructor(dictionary = headerDictionary) {
    this.#deflate = createDeflate({ dictionary })
    this.#deflate.on('data', (bytes: Buffer) => this.#compressed.push(bytes))
  }

  async compress(plain: Buffer): Promise<Buffer> {
    this.#compressed.length = 0
    this.#deflate.write(plain)
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, () => resolve()))
    return Buffer.concat(this.#compressed)
  }

  async opens(stream: number, pairs: Pairs, type = 1, version = 3): Promise<Buffer> {
    const head = Buffer.alloc(10)
    head.writeUInt32BE(stream)
    return control(type, Buffer.concat([head, await this.compress(block(pairs))]), version)
  }
}

export function block(pairs: Pairs, count = pairs.length): Buffer {
  const parts = [number(count)]
  for (const text of pairs.flat()) parts.push(number(text.length), Buffer.from(text, 'latin1'))
  return Buffer.concat(parts)
}

export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function control(type: number, body: Buffer, version = 3): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt16BE(0x8000 | version)
  head.writeUInt16BE(type, 2)
  head.writeUIntBE(body.length, 5, 3)
  return Buffer.concat([head, body])
}

export function data(stream: number, text: string): Buffer {
  return Buffer.concat([number(stream), number(text.length), Buffer.from(text)])
}

export const ofPort = (port: string, kind: string): Pairs => [
  ['streamtype', kind],
  ['port', port],
  ['requestid', '0'],
]

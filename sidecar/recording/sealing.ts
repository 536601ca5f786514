/** What keeps a recording from being read: compressed, then encrypted with a key of its own, which age wraps for its readers. */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, createZstdCompress, type ZstdCompress, zstdDecompress } from 'node:zlib'
import { boundLength, maximumBody } from './blocks.ts'

const decompress = promisify(zstdDecompress)

const algorithm = 'aes-256-gcm'
export const tagLength = 16

/** The key of a recording's blocks. @param secret that is wrapped in its header. */
export function blockKey(secret: Uint8Array, recording: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `firebreak recording ${recording}`, 32))
}

/** The key of the blocks that hold what masks hid. @param secret that is wrapped in the header for those who may see it. */
export function unmaskedKey(secret: Uint8Array, recording: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `firebreak unmasked ${recording}`, 32))
}

const parameters = {
  // higher levels take longer and save little of what sessions consist of
  [constants.ZSTD_c_compressionLevel]: 1,
  // a window as large as most blocks: less memory to set up for each
  [constants.ZSTD_c_windowLog]: 17,
}

let compressor: ZstdCompress | undefined
let compressing: Promise<unknown> = Promise.resolve()

/** In the thread pool, one after the other by one compressor: setting one up for each block keeps the garbage collector busy. */
export function compressed(plain: Buffer): Promise<Buffer> {
  const turn = compressing.then(() => {
    compressor ??= createZstdCompress({ chunkSize: 64 * 1024, params: parameters })
    return frameOf(plain, compressor)
  })
  compressing = turn.catch(() => {
    compressor = undefined
  })
  return turn
}

/** A frame of its own, and all of it. */
function frameOf(plain: Buffer, compressor: ZstdCompress): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const parts: Buffer[] = []
  const take = (part: Buffer): void => {
    parts.push(part)
  }
  compressor.on('data', take).once('error', reject)
  compressor.write(plain)
  compressor.flush(constants.ZSTD_e_end, () => {
    compressor.off('data', take).off('error', reject)
    const rest: Buffer | null = compressor.read()
    resolve(Buffer.concat(rest ? [...parts, rest] : parts))
  })
  return promise
}

/** @param head bound to the body: its beginning must be the same to open it. */
export function encrypt(content: Buffer, key: Buffer, number: number, head: Buffer): Buffer {
  const cipher = createCipheriv(algorithm, key, nonceOf(number))
  cipher.setAAD(head.subarray(0, boundLength))
  return Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()])
}

/** @throws Error when the key is another one, or anything was altered. */
export async function unseal(body: Buffer, key: Buffer, number: number, head: Buffer): Promise<Buffer> {
  return await decompress(decrypt(body, key, number, head), { maxOutputLength: maximumBody })
}

/** @throws Error when the key is another one, or anything was altered. */
export function decrypt(body: Buffer, key: Buffer, number: number, head: Buffer): Buffer {
  const decipher = createDecipheriv(algorithm, key, nonceOf(number), { authTagLength: tagLength })
  decipher.setAAD(head.subarray(0, boundLength))
  decipher.setAuthTag(body.subarray(body.length - tagLength))
  return Buffer.concat([decipher.update(body.subarray(0, -tagLength)), decipher.final()])
}

/** Each key is of one recording, and each number of one block. */
function nonceOf(number: number): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(number, 8)
  return nonce
}

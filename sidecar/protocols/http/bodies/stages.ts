/** A mask as streams: what bytes of a response go through, one after the other, in bounded memory. */
import { Transform, type TransformCallback } from 'node:stream'
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib'
import type { Result } from '../../../session.ts'
import type { BodyMask, ContentCoding } from '../request.ts'

/** Why a body could not go out to its end; in words for people. */
export class BodyRefused extends Error {}

/** @returns streams for `pipeline`; one of them fails with a {@link BodyRefused} where the rest can't be masked. */
export function bodyStages(mask: BodyMask): Transform[] {
  return [...mask.codings.flatMap(decompression), new MaskStream(mask)]
}

type Decompression = Transform & { readonly bytesWritten: number }

function decompression(coding: ContentCoding): Transform[] {
  const decoder = openDecoder(coding)
  return [decoder, new ExpansionGuard(decoder)]
}

function openDecoder(coding: ContentCoding): Decompression {
  switch (coding) {
    case 'gzip':
      return createGunzip()
    case 'deflate':
      return createInflate()
    case 'br':
      return createBrotliDecompress()
    case 'zstd':
      // 8 MB, as https://www.rfc-editor.org/rfc/rfc9659 has it for HTTP
      return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } })
  }
}

/** Text becomes some 20 times smaller at best; what becomes much larger is there to keep us busy. */
const largestExpansion = 500
const alwaysFine = 16 * 1024 * 1024

class ExpansionGuard extends Transform {
  readonly #decoder: Decompression
  #bytes = 0

  constructor(decoder: Decompression) {
    super()
    this.#decoder = decoder
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length
    const isBomb = this.#bytes > alwaysFine && this.#bytes > this.#decoder.bytesWritten * largestExpansion
    if (isBomb) done(new BodyRefused('the body becomes far too large when it is decompressed'))
    else done(null, chunk)
  }
}

class MaskStream extends Transform {
  readonly #mask: BodyMask

  constructor(mask: BodyMask) {
    super()
    this.#mask = mask
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#pass(this.#mask.push(chunk), done)
  }

  override _flush(done: TransformCallback): void {
    this.#pass(this.#mask.end(), done)
  }

  #pass(masked: Result<readonly Buffer[], string>, done: TransformCallback): void {
    if (!masked.ok) return done(new BodyRefused(masked.error))
    for (const bytes of masked.value) this.push(bytes)
    done()
  }
}

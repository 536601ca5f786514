/** A document that has to be there as a whole before it can be masked. */
import type { Result } from '../../../session.ts'
import { Output } from '../../output.ts'
import { maximumPreparedBytes, type Preparation, type TextMask } from './text-mask.ts'

export class PreparedMask implements TextMask {
  readonly #mask: TextMask
  readonly #prepare: Preparation
  readonly #held = new Output()

  constructor(mask: TextMask, prepare: Preparation) {
    this.#mask = mask
    this.#prepare = prepare
  }

  push(chunk: Buffer): Result<Buffer, string> {
    if (this.#held.length + chunk.length > maximumPreparedBytes)
      return { ok: false, error: 'the body is too long to be looked into as a whole' }
    this.#held.write(chunk)
    return { ok: true, value: Buffer.alloc(0) }
  }

  end(): Result<Buffer, string> {
    const prepared = this.#prepare(this.#held.take())
    if (!prepared.ok) return prepared
    const masked = this.#mask.push(prepared.value)
    const rest = this.#mask.end()
    return masked.ok && rest.ok
      ? { ok: true, value: Buffer.concat([masked.value, rest.value]) }
      : masked.ok
        ? rest
        : masked
  }
}

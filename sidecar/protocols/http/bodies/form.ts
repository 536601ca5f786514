/** Masks forms, `a=1&b=2`, by the names in them. */
import { applyMask, type FieldMask, maskDetected } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { Output } from '../../output.ts'
import type { BodyTerms } from '../request.ts'
import { decodeFormText, formPath } from './form-text.ts'
import { type MaskedLabels, maximumValueBytes, type TextMask } from './text-mask.ts'

const ampersand = 0x26

export class FormMask implements TextMask {
  readonly #terms: BodyTerms
  readonly #labels: MaskedLabels
  readonly #output = new Output()
  readonly #pair = new Output()

  constructor(terms: BodyTerms, labels: MaskedLabels) {
    this.#terms = terms
    this.#labels = labels
  }

  push(chunk: Buffer): Result<Buffer, string> {
    let start = 0
    for (let at = chunk.indexOf(ampersand); at >= 0; at = chunk.indexOf(ampersand, start)) {
      const problem = this.#hold(chunk, start, at) ?? this.#pairDone()
      if (problem !== undefined) return { ok: false, error: problem }
      this.#output.copy(chunk, at, at + 1)
      start = at + 1
    }
    const problem = this.#hold(chunk, start, chunk.length)
    return problem === undefined ? { ok: true, value: this.#output.take() } : { ok: false, error: problem }
  }

  end(): Result<Buffer, string> {
    const problem = this.#pairDone()
    return problem === undefined ? { ok: true, value: this.#output.take() } : { ok: false, error: problem }
  }

  #hold(chunk: Buffer, start: number, end: number): string | undefined {
    if (this.#pair.length + end - start > maximumValueBytes) return 'a field of the form is too long'
    this.#pair.copy(chunk, start, end)
    return undefined
  }

  #pairDone(): string | undefined {
    const written = this.#pair.take().toString()
    const equals = written.indexOf('=')
    const name = decodeFormText(equals < 0 ? written : written.slice(0, equals))
    const value = decodeFormText(equals < 0 ? '' : written.slice(equals + 1))
    if (name === undefined || value === undefined) return 'the form is not encoded as forms are'
    const mask = this.#terms.maskOf(formPath(name)) ?? this.#terms.maskOf([name])
    const masked = mask ? this.#mask(mask, value) : maskDetected(value, this.#terms.detectors)
    const shown = maskDetected(name, this.#terms.detectors)
    if (masked === value && shown === name) this.#output.write(Buffer.from(written))
    else {
      this.#labels.add(shown)
      this.#output.write(Buffer.from(`${encodeURIComponent(shown)}=${encodeURIComponent(masked)}`))
    }
    return undefined
  }

  #mask(mask: FieldMask, value: string): string {
    return value === '' ? value : (applyMask(mask.strategy, value, this.#terms.maskKey) ?? '')
  }
}

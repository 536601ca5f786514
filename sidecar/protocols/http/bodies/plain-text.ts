/** Text without fields: detectors run over each line, and over a private key as the lines that it has. */
import { type DetectorKind, maskDetected } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { Output } from '../../output.ts'
import type { BodyTerms } from '../request.ts'
import { type Line, Lines } from './lines.ts'
import type { MaskedLabels, TextMask } from './text-mask.ts'

/** What a private key may have between its first line and its last, and a little more. */
const longestKey = 32 * 1024

export class PlainTextMask implements TextMask {
  readonly #detectors: readonly DetectorKind[]
  readonly #labels: MaskedLabels
  readonly #lines = new Lines()
  readonly #output = new Output()
  /** Lines of what may be a private key. */
  #key = ''

  constructor({ detectors }: Pick<BodyTerms, 'detectors'>, labels: MaskedLabels) {
    this.#detectors = detectors
    this.#labels = labels
  }

  push(chunk: Buffer): Result<Buffer, string> {
    for (const line of this.#lines.of(chunk)) this.#line(line)
    return { ok: true, value: this.#output.take() }
  }

  end(): Result<Buffer, string> {
    const rest = this.#lines.rest()
    if (rest) this.#line(rest)
    this.#write(this.#key)
    this.#key = ''
    return { ok: true, value: this.#output.take() }
  }

  #line({ text, isCut }: Line): void {
    if (isCut) {
      this.#write(this.#key)
      this.#key = ''
      this.#labels.add('text')
      this.#output.write(Buffer.from(`********${text}`))
      return
    }
    if (this.#key === '' && !text.includes('-----BEGIN')) return this.#write(text)
    this.#key += text
    if (!text.includes('-----END') && this.#key.length <= longestKey) return
    this.#write(this.#key)
    this.#key = ''
  }

  #write(text: string): void {
    if (text === '') return
    const masked = maskDetected(text, this.#detectors)
    if (masked !== text) this.#labels.add('text')
    this.#output.write(Buffer.from(masked))
  }
}

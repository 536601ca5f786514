/** What a program writes, masked by the detectors as far as it is text. */
import type { DetectorKind } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { PlainTextMask } from '../../http/bodies/plain-text.ts'
import { type MaskedLabels, Utf8Check } from '../../http/bodies/text-mask.ts'

export interface OutputMask {
  push(bytes: Buffer): Result<Buffer, string>
  end(): Result<Buffer, string>
}

const passing: OutputMask = {
  push: (bytes) => ({ ok: true, value: bytes }),
  end: () => ({ ok: true, value: Buffer.alloc(0) }),
}

/** @returns a mask for one channel. Lines go out when they are whole. */
export function openOutputMask(detectors: readonly DetectorKind[], labels: MaskedLabels): OutputMask {
  return detectors.length === 0 ? passing : new TextOutput(detectors, labels)
}

const noText = { ok: false, error: 'what the program writes is no text in UTF-8' } as const

class TextOutput implements OutputMask {
  readonly #mask: PlainTextMask
  readonly #utf8 = new Utf8Check()

  constructor(detectors: readonly DetectorKind[], labels: MaskedLabels) {
    this.#mask = new PlainTextMask({ detectors }, labels)
  }

  push(bytes: Buffer): Result<Buffer, string> {
    return this.#utf8.accepts(bytes) ? this.#mask.push(bytes) : noText
  }

  end(): Result<Buffer, string> {
    return this.#utf8.atEnd() ? this.#mask.end() : noText
  }
}

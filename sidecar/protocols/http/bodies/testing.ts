/** For tests of masks: terms in few words, and bodies that come cut. */
import type { DetectorKind, FieldMask, MaskStrategy } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import type { BodyMask, BodyTerms, HeaderFields, HttpRequest } from '../request.ts'
import { openBodyMask } from './open.ts'

export type StrategyText =
  | 'redact'
  | 'hash'
  | 'null'
  | { readonly keepLast: number }
  | { readonly format: 'email' | 'phone' | 'card' | 'ssn' }

/** @param masks by `$.path.of.field`. */
export function bodyTerms({
  masks = {},
  detectors = [],
}: {
  readonly masks?: Readonly<Record<string, StrategyText>>
  readonly detectors?: readonly DetectorKind[]
}): BodyTerms {
  const byPath = new Map(
    Object.entries(masks).map(([path, text]): [string, FieldMask] => [
      path,
      { strategy: strategyOf(text), rule: { policy: 'default/test', rule: 'mask' } },
    ]),
  )
  return {
    maskOf: (path) => byPath.get(['$', ...path].join('.')),
    masksFields: byPath.size > 0,
    detectors,
    maskKey: Buffer.from('a key of a test'),
    whose: { owner: 'a test', key: Buffer.from('a key of a test') },
    allows: () => true,
  }
}

function strategyOf(text: StrategyText): MaskStrategy {
  if (typeof text === 'string') return { kind: text }
  return 'format' in text
    ? { kind: 'format', format: text.format }
    : { kind: 'partial', keepLast: text.keepLast }
}

export const anyRequest: HttpRequest = {
  method: 'GET',
  path: { text: '/x', segments: ['x'], otherReadings: [] },
  query: '',
  parameters: [],
  headers: [],
}

export function openMask(terms: BodyTerms, headers: HeaderFields, status = 200): Result<BodyMask, string> {
  return openBodyMask(anyRequest, { status, headers }, terms)
}

export function runMask(
  mask: BodyMask,
  chunks: readonly Buffer[],
): Result<{ readonly text: string; readonly masked: readonly string[] }, string> {
  const out: Buffer[] = []
  for (const chunk of chunks) {
    // the caller may use its bytes again
    const lent = Buffer.from(chunk)
    const masked = mask.push(lent)
    lent.fill(0)
    if (!masked.ok) return masked
    out.push(...masked.value)
  }
  const rest = mask.end()
  if (!rest.ok) return rest
  return { ok: true, value: { text: Buffer.concat([...out, ...rest.value]).toString(), masked: mask.masked } }
}

export function cutAt(body: Buffer, every: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < body.length; at += every) chunks.push(body.subarray(at, at + every))
  return chunks
}

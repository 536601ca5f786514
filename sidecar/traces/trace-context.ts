/** Who belongs to which trace. https://www.w3.org/TR/trace-context/ */
import { randomBytes } from 'node:crypto'

export interface SpanContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
}

export function newTraceId(): string {
  return randomBytes(16).toString('hex')
}

export function newSpanId(): string {
  return randomBytes(8).toString('hex')
}

/** Of version 00; later ones may go on behind it. */
const length = 55

/**
 * Reads a `traceparent`. Whoever sends one can send any: it says what a client claims to belong to, and no more. Its
 * `sampled` flag is not looked at: whether something is exported is not the client's to say.
 *
 * @returns undefined when it is none.
 */
export function readTraceParent(text: string): SpanContext | undefined {
  const [version = '', traceId = '', spanId = '', flags = ''] = text.slice(0, length).split('-')
  const later = version !== '00' && text[length] === '-'
  if (text.length !== length && !later) return undefined
  if (!isHexadecimal(version, 2) || version === 'ff' || !isHexadecimal(flags, 2)) return undefined
  return isId(traceId, 32) && isId(spanId, 16) ? { traceId, spanId } : undefined
}

function isId(text: string, digits: number): boolean {
  return isHexadecimal(text, digits) && /[^0]/.test(text)
}

function isHexadecimal(text: string, digits: number): boolean {
  return text.length === digits && /^[0-9a-f]*$/.test(text)
}

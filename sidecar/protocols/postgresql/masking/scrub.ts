/** Errors and notices that may quote masked values, without the quotes. */
import { encodeFields } from '../codec/encode.ts'
import type { ErrorFields } from '../codec/server-messages.ts'

/** Severity, code, position, and names of schema, table, column, type and constraint: they say what is wrong, not with which value. */
const harmless = new Set(['S', 'V', 'C', 'P', 's', 't', 'c', 'd', 'n'])

/** The conditions that data can cause. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const wordings: Readonly<Record<string, string>> = {
  '22001': 'value too long for its type',
  '22003': 'value out of range',
  '22007': 'invalid date or time format',
  '22008': 'date or time out of range',
  '22012': 'division by zero',
  '22P02': 'invalid input syntax',
  '23502': 'null value violates a not-null constraint',
  '23503': 'a foreign key constraint is violated',
  '23505': 'duplicate key value violates a unique constraint',
  '23514': 'a check constraint is violated',
  '23P01': 'an exclusion constraint is violated',
  '40001': 'could not serialize access',
  '40P01': 'deadlock detected',
  '57014': 'canceling statement due to timeout or user request',
}

/** Conditions of names and syntax are raised before any data is read, so what they quote is the client's own text. */
const beforeData = new Set(['08', '0A', '25', '26', '28', '34', '3D', '3F', '42', '53', '54', '57'])

/** @param type of the message: ErrorResponse or NoticeResponse. */
export function scrub(type: number, fields: ErrorFields): Buffer {
  const code = fields.get('C') ?? ''
  if (beforeData.has(code.slice(0, 2)) && code !== '57014') return encodeFields(type, fields)
  const kept = [...fields].filter(([name]) => harmless.has(name))
  return encodeFields(type, [
    ...kept,
    ['M', wordings[code] ?? `the server reported condition ${code}`],
    ['D', 'Its text is withheld because it could quote masked data.'],
  ])
}

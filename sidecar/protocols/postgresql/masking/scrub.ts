/**
 * Errors and notices that may quote masked values, without the quotes.
 * https://www.postgresql.org/docs/current/protocol-error-fields.html
 */
import { encodeFields } from '../codec/encode.ts'
import type { ErrorFields } from '../codec/server-messages.ts'

/**
 * What a message may quote:
 * - `nothing`: no masked data was near.
 * - `code`: code that stands behind a name (triggers, functions of views) and that can't be followed has run.
 * - `data`: masked data has been touched, by the command or earlier in the transaction, whose deferred checks run late.
 */
export type Exposure = 'nothing' | 'code' | 'data'

/** Severity, condition, position in the client's own text. */
const harmless = new Set(['S', 'V', 'C', 'P'])
/** Names of schema, table, column, type and constraint: the server's own messages say by them what is wrong, not with which value. */
const names = new Set(['s', 't', 'c', 'd', 'n'])
/** Where in a function, and which text inside it: only messages out of code carry them, whatever raised them. */
const fromCode = ['W', 'p', 'q']

/** The conditions that data can cause. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const wordings: Readonly<Record<string, string>> = {
  '00000': 'notice',
  '01000': 'warning',
  '22001': 'value too long for its type',
  '22003': 'value out of range',
  '22007': 'invalid date or time format',
  '22008': 'date or time out of range',
  '22012': 'division by zero',
  '22023': 'invalid parameter value',
  '22021': 'character not in repertoire',
  '22P02': 'invalid input syntax',
  '22P03': 'invalid binary representation',
  '22P04': 'bad copy file format',
  '22P05': 'untranslatable character',
  '23502': 'null value violates a not-null constraint',
  '23503': 'a foreign key constraint is violated',
  '23505': 'duplicate key value violates a unique constraint',
  '23514': 'a check constraint is violated',
  '23P01': 'an exclusion constraint is violated',
  '40001': 'could not serialize access',
  '40P01': 'deadlock detected',
  '42501': 'permission denied',
  '55P03': 'could not obtain a lock',
  '57014': 'canceling statement due to timeout or user request',
  P0001: 'the code behind the command raised an exception',
  P0002: 'a query in the code behind the command returned no rows',
  P0003: 'a query in the code behind the command returned more than one row',
}

/** Conditions whose text never depends on data: state of the transaction, connection, login, and of the server. */
const fixedText = new Set(['08', '25', '28', '57'])

/** Functions of the server that quote only names: of what depends on an object, of what exists already, of statements and portals. */
const quotingNames = new Set([
  ...[
    'reportDependentObjects',
    'heap_create_with_catalog',
    'index_create',
    'check_for_column_name_collision',
  ],
  ...['StorePreparedStatement', 'FetchPreparedStatement', 'CreatePortal', 'PerformPortalFetch'],
  ...['exec_bind_message', 'exec_execute_message', 'exec_describe_portal_message'],
  ...['BeginCopyTo', 'transformFromClauseItem', 'CheckAttributeNamesTypes'],
])

/**
 * @param type of the message: ErrorResponse or NoticeResponse.
 * @returns undefined when it may pass as it is.
 */
export function scrub(type: number, fields: ErrorFields, exposure: Exposure): ScrubbedMessage | undefined {
  const raisedByCode = isFromCode(fields)
  if (exposure === 'nothing' || (exposure === 'code' && !raisedByCode)) return undefined
  if (!raisedByCode && quotesOnlyNames(fields)) return undefined
  const code = knownCode(fields.get('C') ?? '', raisedByCode)
  const message = wordings[code] ?? `the server reported condition ${code}`
  // code can raise anything, names and condition included
  const kept = [...fields]
    .filter(([name]) => harmless.has(name) || (names.has(name) && !raisedByCode))
    .map(([name, text]): [string, string] => [name, name === 'C' ? code : text])
  const scrubbed = encodeFields(type, [
    ...kept,
    ['M', message],
    ['D', 'Its text is withheld because it could quote masked data.'],
  ])
  return { bytes: scrubbed, code, message }
}

/**
 * Contexts that are no code: a value that the client itself has just sent. The innermost context comes first. Of a
 * named portal the client chooses the name, and with it the beginning of contexts that say something else.
 */
const clientsValue = 'unnamed portal parameter $'
const clientsRow = 'COPY '

function isFromCode(fields: ErrorFields): boolean {
  const context = fields.get('W')
  if (context === undefined) return fromCode.some((name) => fields.has(name))
  return !context.startsWith(clientsValue) && !context.startsWith(clientsRow)
}

export interface ScrubbedMessage {
  readonly bytes: Buffer
  readonly code: string
  readonly message: string
}

/** A condition that code has chosen could be a value itself: of one that isn't listed only the class is told. */
function knownCode(code: string, raisedByCode: boolean): string {
  if (!raisedByCode || wordings[code] !== undefined) return code
  const known = Object.keys(wordings).some((listed) => listed.startsWith(code.slice(0, 2)))
  return known ? `${code.slice(0, 2)}000` : 'P0001'
}

/**
 * A position is told only by the parser, before any data is read; what it quotes is the client's own text, as what is
 * said of a parameter. Cancelling is the exception of its class: where it happened tells how far the command was.
 */
function quotesOnlyNames(fields: ErrorFields): boolean {
  const code = fields.get('C') ?? ''
  return (
    fields.has('P') ||
    fields.get('W')?.startsWith(clientsValue) === true ||
    (fixedText.has(code.slice(0, 2)) && code !== '57014') ||
    quotingNames.has(fields.get('R') ?? '')
  )
}

const degrees: readonly Exposure[] = ['nothing', 'code', 'data']

export function moreExposed(a: Exposure, b: Exposure): Exposure {
  return a === b || degrees.indexOf(a) > degrees.indexOf(b) ? a : b
}

/** What of a message people are asked about, and an approval is bound to. */
import type { HeldParameter } from '../../../session.ts'
import type { Bind } from '../codec/client-messages.ts'
import type { Prepared } from './prepared.ts'

export interface Held {
  /** Copied from the message where that is not kept. */
  readonly statement: Buffer
  readonly parameters: readonly HeldParameter[]
  /** For the audit, where the analysis stands for another text of the same form. */
  readonly exactText: string | undefined
  /** For the audit. */
  readonly parameterTexts?: readonly (string | null)[]
}

export function heldPortal(
  { text, parameterTypes = [] }: Prepared,
  { parameters, parameterFormats }: Bind,
  exactText: string | undefined,
): Held {
  return {
    statement: text,
    exactText,
    parameters: parameters.map((value, index) => {
      const format = parameterFormats.length === 1 ? parameterFormats[0] : (parameterFormats[index] ?? 0)
      const type = parameterTypes[index] ?? 0
      return {
        encoding: `type ${type}, ${format === 1 ? 'binary' : 'text'}`,
        value: value && Buffer.from(value),
        shown: value === null ? 'NULL' : format === 1 ? showBinary(value, type) : quoted(readable(value)),
      }
    }),
  }
}

/** The arguments of a FunctionCall stand in its message, in a form that only the function knows. */
export function heldFunctionCall(text: string, message: Buffer): Held {
  const value = Buffer.from(message)
  const parameters = [{ encoding: 'FunctionCall', value, shown: hex(value.subarray(5)) }]
  return { statement: Buffer.from(text), parameters, exactText: undefined }
}

/** Bytes as text; those that are no UTF-8 are escaped, so that two different texts never look the same. */
export function readable(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return bytes
      .toString('latin1')
      .replace(/[\\\x80-\xff]/g, (character) =>
        character === '\\' ? '\\\\' : `\\x${character.charCodeAt(0).toString(16)}`,
      )
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function hex(bytes: Buffer): string {
  return `\\x${bytes.toString('hex')}`
}

/** Binary values of the types that drivers send most. OIDs of pg_type, which never change. */
function showBinary(value: Buffer, type: number): string {
  const { length } = value
  if (type === 16 && length === 1) return value[0] === 0 ? 'false' : 'true'
  if (type === 21 && length === 2) return String(value.readInt16BE())
  if (type === 23 && length === 4) return String(value.readInt32BE())
  if (type === 26 && length === 4) return String(value.readUInt32BE())
  if (type === 20 && length === 8) return String(value.readBigInt64BE())
  if (type === 700 && length === 4) return String(value.readFloatBE())
  if (type === 701 && length === 8) return String(value.readDoubleBE())
  return type === 25 || type === 1043 ? quoted(readable(value)) : hex(value)
}

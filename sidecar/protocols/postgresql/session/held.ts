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

/** Longer values are not copied: nobody could see them whole, so nobody is asked. */
const maximumShown = 16 * 1024

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
      const encoding = `type ${type}, ${format === 1 ? 'binary' : 'text'}`
      return heldParameter(encoding, value, (bytes) =>
        format === 1 ? showBinary(bytes, type) : quoted(readable(bytes)),
      )
    }),
  }
}

/** The arguments of a FunctionCall stand in its message, in a form that only the function knows. */
export function heldFunctionCall(text: string, message: Buffer): Held {
  const parameters = [heldParameter('FunctionCall', message.subarray(5), hex)]
  return { statement: Buffer.from(text), parameters, exactText: undefined }
}

function heldParameter(
  encoding: string,
  value: Buffer | null,
  show: (bytes: Buffer) => string,
): HeldParameter {
  if (value === null) return { encoding, value, shown: 'NULL' }
  if (value.length > maximumShown) return { encoding, value: null, shown: undefined }
  return { encoding, value: Buffer.from(value), shown: show(value) }
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

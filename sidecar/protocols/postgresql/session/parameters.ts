import type { Bind } from '../codec/client-messages.ts'

/** Longer values are cut: an audit line is no copy of the data. */
const maximumLength = 1_024

/** Bound values as text for the audit: binary ones in hexadecimal. */
export function parameterTexts({ parameters, parameterFormats }: Bind): (string | null)[] {
  return parameters.map((value, index) => {
    if (value === null) return null
    const format = parameterFormats.length === 1 ? parameterFormats[0] : (parameterFormats[index] ?? 0)
    const shown = value.length > maximumLength ? value.subarray(0, maximumLength) : value
    const text = format === 1 ? `\\x${shown.toString('hex')}` : shown.toString('utf8')
    return shown === value ? text : `${text}… (${value.length} bytes)`
  })
}

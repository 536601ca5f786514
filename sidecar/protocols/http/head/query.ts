/** The query of a request: its parameters as they are decided on, and its text as it is forwarded. */
import type { Result } from '../../../session.ts'
import type { QueryParameter } from '../request.ts'

const maximumParameters = 1_000

/** @param raw without its question mark. @returns why it has no one meaning, in words. */
export function parseQuery(raw: string): Result<readonly QueryParameter[], string> {
  if (raw === '') return { ok: true, value: [] }
  if (/[^\x21-\x7e]|#|\\/.test(raw))
    return { ok: false, error: 'the query has a character that may not stand in one as it is' }
  if (/%(?![0-9A-Fa-f]{2})/.test(raw))
    return { ok: false, error: 'the query has a percent sign that encodes nothing' }
  const pairs = raw.split('&')
  if (pairs.length > maximumParameters) return { ok: false, error: 'the query has too many parameters' }
  const parameters: QueryParameter[] = []
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals))
    const value = decode(equals < 0 ? '' : pair.slice(equals + 1))
    if (name === undefined || value === undefined) return { ok: false, error: 'the query is not valid UTF-8' }
    parameters.push({ name, value })
  }
  return { ok: true, value: parameters }
}

/** @returns a query without the parameters of a name, however it is written. */
export function withoutParameter(raw: string, name: string): string {
  const wanted = name.toLowerCase()
  return raw
    .split('&')
    .filter((pair) => decode(pair.split('=', 1)[0] ?? '')?.toLowerCase() !== wanted)
    .join('&')
}

function decode(text: string): string | undefined {
  if (!text.includes('%') && !text.includes('+')) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

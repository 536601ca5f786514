/** A token before anything of it is believed. */
import type { Result } from '../session.ts'
import { misused, type Rejection, shown } from './proof.ts'

/** What an unverified token says of itself. It selects which keys are tried, and nothing else. */
export interface UnverifiedToken {
  readonly text: string
  readonly issuer: string
}

/**
 * Signatures that need a private key. `none` and the symmetric HS256 family are not among them: with those, whoever
 * knows the public key could sign (RFC 8725, 3.1).
 */
export const algorithms: readonly string[] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

/** Types of tokens that say who somebody is (RFC 7519 5.1, RFC 9068 2.1); one made for something else is none (RFC 8725, 3.11). */
const types = ['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']

/** Tokens of a few hundred groups fit; nothing is parsed of what is longer. In characters. */
export const maximumTokenLength = 16 * 1024

/** Whether a text has the form of a signed token (RFC 7515, 7.1). */
export function isSignedToken(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)
}

/** Reads header and issuer of a token that {@link isSignedToken}. */
export function inspectToken(
  text: string,
): Result<UnverifiedToken, Rejection & { readonly misuse: NonNullable<Rejection['misuse']> }> {
  if (text.length > maximumTokenLength)
    return misused(
      'oversized',
      `the token has ${text.length} characters; ${maximumTokenLength} are the most that are read`,
    )
  const [head = '', body = ''] = text.split('.')
  const header = jsonObject(head)
  const payload = jsonObject(body)
  if (!header || !payload) return misused('malformed', 'the token is not well-formed')
  const { alg, typ, crit, b64, zip, cty } = header
  if (typeof alg !== 'string' || !algorithms.includes(alg))
    return misused(
      'algorithm',
      `the token's algorithm is ${typeof alg === 'string' ? shown(alg) : 'missing'}; it must be one of ${algorithms.join(', ')}`,
    )
  if (typ !== undefined && (typeof typ !== 'string' || !types.includes(typ.toLowerCase())))
    return misused('type', `the token is of type ${shown(String(typ))}, which is not for this`)
  if (crit !== undefined || b64 !== undefined || zip !== undefined || cty !== undefined)
    return misused('type', 'the token uses extensions that are not accepted (crit, b64, zip or cty)')
  if (typeof payload.iss !== 'string') return misused('malformed', 'the token names no issuer')
  return { ok: true, value: { text, issuer: payload.iss } }
}

/** One part of a token; undefined when it is not an object that everybody reads alike. */
export function jsonObject(part: string): Record<string, unknown> | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(part, 'base64url'))
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject && !repeatsNames(text) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/**
 * Whether an object in a valid JSON text has a member twice. Parsers differ in which one counts, so whoever checked
 * the token before us may have seen another (RFC 7519, 4).
 */
export function repeatsNames(json: string): boolean {
  const open: Set<string>[] = []
  // strings are taken whole, so that braces in them are none
  for (const [token, , colon] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*(:)?|[{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (colon) {
      const name = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string
      const names = open.at(-1)
      if (names?.has(name)) return true
      names?.add(name)
    }
  }
  return false
}

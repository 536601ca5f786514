/** What a token endpoint says when it gives no token, as people may read it. */
import { ResponseBodyError, WWWAuthenticateChallengeError } from 'openid-client'
import { deepestCause } from './issuer.ts'
import { shown } from './proof.ts'

/** What the provider says of its refusal helps, unless it repeats a secret. */
export function refusalInWords(error: unknown, secrets: readonly (string | undefined)[]): string {
  const said = shown(saidByProvider(error))
  return secrets.some((secret) => secret && repeats(said, secret)) ? 'it refused' : said
}

/** Whether a text has a secret in it, or a piece of one that would be worth something. */
function repeats(text: string, secret: string): boolean {
  const length = Math.min(secret.length, 12)
  for (let at = 0; at + length <= text.length; at++)
    if (secret.includes(text.slice(at, at + length))) return true
  return false
}

/** https://www.rfc-editor.org/rfc/rfc6749#section-5.2 */
function saidByProvider(error: unknown): string {
  const answer =
    error instanceof ResponseBodyError
      ? error
      : error instanceof WWWAuthenticateChallengeError
        ? error.cause[0]?.parameters
        : undefined
  const words = [answer?.error, answer?.error_description].filter((part) => part !== undefined)
  if (words.length > 0) return words.join(', ')
  const cause = deepestCause(error)
  // a parser's message would quote the answer
  if (cause instanceof SyntaxError) return 'it answered with JSON that is not valid'
  return cause?.message ?? 'unknown'
}

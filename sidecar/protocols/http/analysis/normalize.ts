/** A request's text without the values in it, for audit trails that are not to hold any. */
import type { Command } from '@firebreak/policy'

/** `GET /users?id=5&sort=name` becomes `GET /users?id=…&sort=…`: paths name things, the values of queries are data. */
export function normalizeRequest(text: string): string {
  const mark = text.indexOf('?')
  if (mark < 0) return text
  const names = text
    .slice(mark + 1)
    .split('&')
    .map((pair) => `${pair.split('=', 1)[0]}=…`)
  return `${text.slice(0, mark)}?${names.join('&')}`
}

const secretNames =
  /^(access_?token|auth|auth_?token|api_?key|apikey|key|token|password|passwd|pwd|secret|client_?secret|signature|sig|code|jwt|x-amz-.*|x-goog-.*)$/i

/** Whether the query has what is called like a secret, or could not be read. */
export function mayHoldSecretParameter({ facts }: Command): boolean {
  const { parameters } = facts.http ?? {}
  return !Array.isArray(parameters) || parameters.some((name) => secretNames.test(name))
}

/** A vault that answers a GET with JSON. */
import type { ValueSource } from '../configuration/values.ts'
import { claimAt } from '../identity/match.ts'
import { boundedFetch } from '../outbound/fetch.ts'
import type { Result } from '../session.ts'
import type { ProvidedCredential, Role } from './provider.ts'

const bounds = { milliseconds: 10_000, bytes: 64 * 1024 }

type Vault = NonNullable<NonNullable<Role['credential']>['http']>

/** @param now milliseconds since 1970. */
export async function askVault(
  vault: Vault,
  read: (source: ValueSource) => Result<string, string>,
  now: number,
): Promise<Result<ProvidedCredential, string>> {
  const ca = vault.ca && read(vault.ca)
  if (ca && !ca.ok) return ca
  const token = vault.token && read(vault.token)
  if (token && !token.ok) return token
  if (!URL.canParse(vault.url)) return { ok: false, error: 'the URL of the vault is not valid' }
  const { origin } = new URL(vault.url)
  const failed = (reason: string): Result<never, string> => ({
    ok: false,
    error: `the vault at ${origin} ${reason}`,
  })
  const bearer = vault.header.toLowerCase() === 'authorization' ? 'Bearer ' : ''
  let answer: unknown
  try {
    const response = await boundedFetch({ ca: ca?.value, ...bounds })(vault.url, {
      headers: { accept: 'application/json', ...(token && { [vault.header]: `${bearer}${token.value}` }) },
    })
    if (response.status !== 200) return failed(`answered with status ${response.status}`)
    answer = await response.json()
  } catch (error) {
    // a parser's message would quote the answer
    return failed(
      error instanceof SyntaxError
        ? 'answered with JSON that is not valid'
        : `gave no answer: ${messageOf(error)}`,
    )
  }
  return credentialIn(answer, vault, now, failed)
}

function credentialIn(
  answer: unknown,
  { usernameField, passwordField, leaseField }: Vault,
  now: number,
  failed: (reason: string) => Result<never, string>,
): Result<ProvidedCredential, string> {
  if (typeof answer !== 'object' || answer === null) return failed('did not answer with a JSON object')
  const at = (path: string): unknown => claimAt(answer as Readonly<Record<string, unknown>>, path)
  const password = at(passwordField)
  if (typeof password !== 'string' || password === '') return failed(`gave no password at ${passwordField}`)
  const username = at(usernameField)
  const lease = at(leaseField)
  return {
    ok: true,
    value: {
      password,
      ...(typeof username === 'string' && username !== '' && { username }),
      ...(typeof lease === 'number' && lease > 0 && { expiresAt: now + lease * 1000 }),
    },
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown'
}

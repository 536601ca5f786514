/** Where the password of a role's account comes from. */
import type { ProtectedResource, ProtectedResourceSpec } from '@firebreak/crds'
import type { Configuration } from '../configuration/configuration.ts'
import { readValue, type ValueSource } from '../configuration/values.ts'
import type { Result } from '../session.ts'
import { runForCredential } from './command.ts'
import { askVault } from './vault.ts'

export type Role = ProtectedResourceSpec['roles'][number]

/** What a provider gives. Errors name the reference, never a value. */
export interface ProvidedCredential {
  /** Absent where the manifest names the account. */
  readonly username?: string
  /** Absent where a certificate alone says who it is. */
  readonly password?: string
  /** When it is good no longer, in milliseconds since 1970. */
  readonly expiresAt?: number
}

export interface CredentialProvider {
  /** Reading takes a program or a request: it is done seldom, and what was read is kept for a moment. */
  readonly remote: boolean
  /** @param now milliseconds since 1970. */
  read(now: number): Promise<Result<ProvidedCredential, string>>
}

/** @param configuration the one in force: Secrets stand in it. */
export function providerFor(
  { metadata: { namespace } }: ProtectedResource,
  role: Role,
  configuration: () => Configuration,
): CredentialProvider {
  const read = (source: ValueSource): Result<string, string> => readValue(source, namespace, configuration())
  if (!role.credential) return { remote: false, read: async () => ({ ok: true, value: {} }) }
  const { secret, file, env, command, http } = role.credential
  if (command)
    return {
      remote: true,
      read: () => runForCredential(command.arguments, configuration().directory),
    }
  if (http) return { remote: true, read: (now) => askVault(http, read, now) }
  const password: ValueSource = secret
    ? { secret: { name: secret.name, key: secret.passwordKey } }
    : file
      ? { file }
      : { env: { name: env?.password ?? '' } }
  const username: ValueSource | undefined = secret
    ? { secret: { name: secret.name, key: secret.usernameKey } }
    : env?.username === undefined
      ? undefined
      : { env: { name: env.username } }
  return { remote: false, read: async () => stored(read, password, username, secret === undefined) }
}

/** @param needsUsername whether its source has to have it. A Secret need not: then the manifest or the role's name says it. */
function stored(
  read: (source: ValueSource) => Result<string, string>,
  passwordSource: ValueSource,
  usernameSource: ValueSource | undefined,
  needsUsername: boolean,
): Result<ProvidedCredential, string> {
  const password = read(passwordSource)
  if (!password.ok) return password
  const username = usernameSource && read(usernameSource)
  if (username && !username.ok && needsUsername) return username
  return { ok: true, value: { password: password.value, ...(username?.ok && { username: username.value }) } }
}

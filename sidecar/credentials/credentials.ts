/** The station that knows the downstream accounts' credentials. They live here, in memory, and nowhere else. */
import { isDeepStrictEqual } from 'node:util'
import type { ProtectedResource } from '@firebreak/crds'
import type { QualifiedName } from '@firebreak/policy'
import { type Clock, Deadline } from '../clock.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { readValue } from '../configuration/values.ts'
import type { Credential, Result } from '../session.ts'
import { AccessToken } from './access-token.ts'
import { askForToken } from './oauth2.ts'
import { providerFor, type Role } from './provider.ts'

/** What a program or a vault gave is used for that long before it is asked again, unless it said for how long. In milliseconds. */
const freshFor = 10_000
/** While a program or a vault fails, what it gave last is used for that long. */
const keptFor = 60 * 60_000
/** How often credentials whose change ends sessions are looked at. */
const checkEvery = { local: 2_000, remote: 30_000 }
/** Of what a lease is good for, the part after which the next one is asked for. */
const leasePart = 0.8

interface Known {
  readonly credential: Credential
  /** Until then it is not asked for again. */
  readonly fresh: Deadline
  /** Until then it may be used at all. */
  readonly usable: Deadline
}

type Authentication = NonNullable<ProtectedResource['spec']['http']>['authentication'] | undefined

/** One role of one resource, as its manifest says. */
class Account {
  readonly role: Role
  readonly #authentication: Authentication
  readonly #read: () => Promise<Result<Known, string>>
  /** Undefined where the credential is what the target takes. */
  readonly #tokenOf: ((client: Credential) => AccessToken) | undefined
  #token: { readonly client: Credential; readonly access: AccessToken } | undefined
  #known: Known | undefined
  #reading: Promise<Result<Known, string>> | undefined
  /** When it is looked at again without being asked for. */
  readonly check: Deadline

  constructor(resource: ProtectedResource, role: Role, configuration: () => Configuration, clock: Clock) {
    const provider = providerFor(resource, role, configuration)
    this.role = role
    this.#authentication = resource.spec.http?.authentication
    this.#tokenOf = tokensOf(resource, configuration, clock)
    this.check = new Deadline(clock, provider.remote ? checkEvery.remote : checkEvery.local)
    this.#read = async () => {
      const provided = await provider.read(clock.wall())
      if (!provided.ok) return provided
      const { username = role.name, password, expiresAt } = provided.value
      const life = expiresAt === undefined ? undefined : expiresAt - clock.wall()
      if (life !== undefined && life <= 0) return { ok: false, error: 'what was given has expired already' }
      const certificate = clientCertificate(resource, role, configuration())
      if (certificate && !certificate.ok) return certificate
      const credential: Credential = {
        username: role.username ?? username,
        ...(password !== undefined && { password }),
        ...(certificate && { clientCertificate: certificate.value }),
      }
      const fresh = life === undefined ? (provider.remote ? freshFor : 0) : life * leasePart
      return {
        ok: true,
        value: {
          credential,
          fresh: new Deadline(clock, fresh),
          usable: new Deadline(clock, life ?? (provider.remote ? keptFor : 0)),
        },
      }
    }
  }

  isAbout({ spec: { http } }: ProtectedResource, role: Role): boolean {
    return (
      this.role === role ||
      (isDeepStrictEqual(this.role, role) && isDeepStrictEqual(this.#authentication, http?.authentication))
    )
  }

  /** What is known, or what the provider says. */
  async current(): Promise<Result<Credential, string>> {
    const known = this.#known
    if (known && !known.fresh.passed) return { ok: true, value: known.credential }
    // sessions that come at once ask once
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    const read = await this.#reading
    if (read.ok) this.#known = read.value
    else if (known && !known.usable.passed) return { ok: true, value: known.credential }
    return read.ok ? { ok: true, value: read.value.credential } : read
  }

  /** The credential with what the target takes in its place. */
  async usable(credential: Credential): Promise<Result<Credential, string>> {
    if (!this.#tokenOf) return { ok: true, value: credential }
    if (!this.#token || !sameCredential(this.#token.client, credential))
      this.#token = { client: credential, access: this.#tokenOf(credential) }
    const token = await this.#token.access.current()
    return token.ok ? { ok: true, value: { ...credential, accessToken: token.value } } : token
  }

  refused({ accessToken }: Credential): boolean {
    return accessToken !== undefined && this.#token?.access.refused(accessToken) === true
  }
}

export class Credentials {
  readonly #configuration: () => Configuration
  readonly #clock: Clock
  readonly #rotated: (resource: QualifiedName, role: string, credential: Credential) => void
  /** By resource and role. */
  readonly #accounts = new Map<string, Account>()
  /** What was given out last, by resource and role. */
  readonly #given = new Map<string, Credential>()

  /** @param rotated is told of every change after the first credential. */
  constructor(
    configuration: () => Configuration,
    clock: Clock,
    rotated: (resource: QualifiedName, role: string, credential: Credential) => void,
  ) {
    this.#configuration = configuration
    this.#clock = clock
    this.#rotated = rotated
  }

  /** The credential of a role as it is now. Errors name references, never values. */
  async current(resource: QualifiedName, role: string): Promise<Result<Credential, string>> {
    const account = this.#accountOf(resource, role)
    if (!account) return { ok: false, error: 'the role is gone' }
    const credential = await this.#look(account, resource, role)
    return credential.ok ? await account.usable(credential.value) : credential
  }

  /** The target doesn't take it. @returns whether {@link current} may have another one now. */
  refused(resource: QualifiedName, role: string, credential: Credential): boolean {
    return this.#accountOf(resource, role)?.refused(credential) ?? false
  }

  /** Looks whether credentials have changed, of the roles for whose sessions it matters. Called every second. */
  tick(inUse: Iterable<{ readonly resource: QualifiedName; readonly role: string }>): void {
    const seen = new Set<string>()
    for (const { resource, role } of inUse) {
      const key = keyOf(resource, role)
      if (seen.has(key)) continue
      seen.add(key)
      const account = this.#accountOf(resource, role)
      if (account?.role.credential?.onRotation !== 'end' || !account.check.passed) continue
      account.check.restart()
      void this.#look(account, resource, role)
    }
  }

  async #look(account: Account, resource: QualifiedName, role: string): Promise<Result<Credential, string>> {
    const credential = await account.current()
    if (credential.ok) this.#give(resource, role, credential.value)
    return credential
  }

  #accountOf(resourceName: QualifiedName, roleName: string): Account | undefined {
    const resource = this.#configuration().manifests.resources.find(
      (candidate) => nameOf(candidate) === resourceName,
    )
    const role = resource?.spec.roles.find((candidate) => candidate.name === roleName)
    if (!resource || !role) return undefined
    const key = keyOf(resourceName, roleName)
    let account = this.#accounts.get(key)
    if (!account?.isAbout(resource, role)) {
      account = new Account(resource, role, this.#configuration, this.#clock)
      this.#accounts.set(key, account)
    }
    return account
  }

  #give(resource: QualifiedName, role: string, credential: Credential): void {
    const key = keyOf(resource, role)
    const before = this.#given.get(key)
    this.#given.set(key, credential)
    if (before && !sameCredential(before, credential)) this.#rotated(resource, role, credential)
  }
}

function keyOf(resource: QualifiedName, role: string): string {
  return `${resource} ${role}`
}

export function sameCredential(one: Credential, other: Credential): boolean {
  return (
    one.username === other.username &&
    one.password === other.password &&
    one.clientCertificate?.certificate === other.clientCertificate?.certificate &&
    one.clientCertificate?.key === other.clientCertificate?.key
  )
}

/** @returns how a client's tokens are asked for; undefined where the target takes the credential itself. */
function tokensOf(
  { spec: { http }, metadata: { namespace } }: ProtectedResource,
  configuration: () => Configuration,
  clock: Clock,
): ((client: Credential) => AccessToken) | undefined {
  const oauth2 = http?.authentication?.oauth2
  if (!oauth2) return undefined
  return (client) =>
    new AccessToken(async () => {
      const ca = oauth2.ca && readValue(oauth2.ca, namespace, configuration())
      return ca && !ca.ok ? ca : await askForToken(oauth2, client, ca?.value)
    }, clock)
}

function clientCertificate(
  { metadata: { namespace } }: ProtectedResource,
  { clientCertificate: sources }: Role,
  configuration: Configuration,
): Result<NonNullable<Credential['clientCertificate']>, string> | undefined {
  if (!sources) return undefined
  const certificate = readValue(sources.certificate, namespace, configuration)
  if (!certificate.ok) return certificate
  const key = readValue(sources.key, namespace, configuration)
  return key.ok ? { ok: true, value: { certificate: certificate.value, key: key.value } } : key
}

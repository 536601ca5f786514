/**
 * What enforcers show an agent's clients that come by TLS to a protected API: certificates for the hosts of its resources,
 * by an authority that is trusted in the agent's pods only, and for these hosts only.
 *
 * The key of the authorities never leaves the operator. Those of the certificates live in memory: here and in enforcers.
 */
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { addressOf, isOwnCluster, type ProtectedResource } from '@firebreak/crds'
import type { SentCertificates, ShownCertificate } from '@firebreak/sidecar/control/certificates.ts'
import type { Key } from '../watch/informer.ts'
import { CertificateAuthority } from './authority.ts'

const day = 86_400_000
/** An enforcer that hears nothing of the operator for so long can't be reached by TLS any more. */
const certificateDays = 7
/** Of what pods trust: longer than any of them lives. */
const authorityDays = 3_650
/** How often is looked whether it is time for new ones, in milliseconds. */
const lookEvery = 60_000

interface Made {
  /** What they are for, and the period in which they were made. */
  readonly of: string
  /** Undefined while they are being made. */
  readonly sent: SentCertificates | undefined
}

export class HostCertificates implements Disposable {
  readonly #key: string
  readonly #apiServer: string | undefined
  readonly #failed: (agent: Key, error: Error) => void
  readonly #now: () => number
  readonly #made = new Map<Key, Made>()
  readonly #listeners = new Set<(agent: Key | undefined) => void>()
  readonly #looking: NodeJS.Timeout
  #version: string

  /**
   * @param key of the authorities, PEM. @param apiServer the address of the API server's Service, by which clients in pods find
   * it. @param failed told of a bug: an agent whose certificates can't be made keeps what it has. @param now in milliseconds.
   */
  constructor(
    key: string,
    apiServer: string | undefined,
    failed: (agent: Key, error: Error) => void,
    now = Date.now,
  ) {
    this.#key = key
    this.#apiServer = apiServer
    this.#failed = failed
    this.#now = now
    this.#version = this.#period()
    this.#looking = setInterval(() => this.look(), lookEvery).unref()
  }

  /** Changes when all certificates are made anew: each day, at the same time in all replicas. */
  get version(): string {
    return this.#version
  }

  /** @param listener told of an agent whose certificates are there, and of nobody when all are to be made anew. */
  onChange(listener: (agent: Key | undefined) => void): void {
    this.#listeners.add(listener)
  }

  /** @returns undefined while they are being made, which is told of. @param resources that the agent may use. */
  for(agent: Key, resources: readonly ProtectedResource[]): SentCertificates | undefined {
    const shown = resources.filter(isReachedByTls)
    if (shown.length === 0) return { authority: undefined, certificates: {} }
    const hosts = shown.map((resource) => [resource.metadata.name, this.#hostsOf(resource)] as const)
    const of = JSON.stringify([this.#version, hosts])
    const known = this.#made.get(agent)
    if (known?.of === of) return known.sent
    this.#made.set(agent, { of, sent: undefined })
    this.#make(agent, of, new Map(hosts)).catch((error: Error) => {
      this.#made.delete(agent)
      this.#failed(agent, error)
    })
    return undefined
  }

  /** PEM of what an agent's pods have to trust. Each time another one of the same key and for the same hosts. */
  async authorityFor(agent: Key, resources: readonly ProtectedResource[]): Promise<string> {
    const hosts = resources.filter(isReachedByTls).flatMap((resource) => this.#hostsOf(resource))
    return (await this.#authority(agent, hosts)).certificate
  }

  forget(agent: Key): void {
    this.#made.delete(agent)
  }

  /** Called every minute. */
  look(): void {
    const version = this.#period()
    if (version === this.#version) return
    this.#version = version
    for (const listener of this.#listeners) listener(undefined)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#looking)
  }

  async #make(agent: Key, of: string, hosts: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const authority = await this.#authority(agent, [...hosts.values()].flat())
    const certificates: Record<string, ShownCertificate> = {}
    for (const [resource, hostsOfIt] of hosts) {
      const subject = { name: resource.slice(0, 64) }
      const names = hostsOfIt.filter((host) => isIP(host) === 0)
      certificates[resource] = {
        ...(await authority.server(subject, hostsOfIt, certificateDays)),
        byName: await authority.server(subject, names, certificateDays),
      }
    }
    // meanwhile something else may be wanted
    if (this.#made.get(agent)?.of !== of) return
    this.#made.set(agent, { of, sent: { authority: authority.certificate, certificates } })
    for (const listener of this.#listeners) listener(agent)
  }

  #authority(agent: Key, hosts: readonly string[]): Promise<CertificateAuthority> {
    // a name of any length has to fit in the 64 characters of a common name
    const digest = createHash('sha256').update(agent).digest('hex').slice(0, 16)
    return CertificateAuthority.limited(
      `Firebreak for agent ${digest}`,
      this.#key,
      [...new Set(hosts)],
      authorityDays,
    )
  }

  /** All by which an agent's clients may call it: by its name, and by the listener on loopback. */
  #hostsOf(resource: ProtectedResource): readonly string[] {
    const host = addressOf(resource).host.toLowerCase()
    const own = isOwnCluster(resource)
      ? [
          'kubernetes',
          ...shorterAndLonger('kubernetes.default.svc'),
          ...(this.#apiServer ? [this.#apiServer] : []),
        ]
      : []
    return [...new Set([host, ...shorterAndLonger(host), ...own, 'localhost', '127.0.0.1'])]
  }

  #period(): string {
    return String(Math.floor(this.#now() / day))
  }
}

/** Whether clients of a resource may begin with TLS. */
export function isReachedByTls({ spec: { type, tls } }: ProtectedResource): boolean {
  return (type === 'http' || type === 'kubernetes') && tls.mode !== 'disable'
}

/** Of a Service's name, the others that the cluster's resolver knows it by. */
function shorterAndLonger(host: string): string[] {
  const [service, namespace, svc, ...domain] = host.split('.')
  if (svc !== 'svc' || service === '' || namespace === '') return []
  const name = `${service}.${namespace}`
  return [name, `${name}.svc`, `${name}.svc.${domain.length > 0 ? domain.join('.') : 'cluster.local'}`]
}

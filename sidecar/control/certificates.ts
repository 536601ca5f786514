/** What the operator sends for clients that come by TLS. In memory only, but for what they have to trust. */
import { rootCertificates } from 'node:tls'

/** PEM texts. */
export interface KeyAndCertificate {
  readonly certificate: string
  readonly key: string
}

/** What clients are shown: by whatever they call the host, and, where there is one, another for those that call it by a name. */
export interface ShownCertificate extends KeyAndCertificate {
  /** Without addresses: where the authority is limited to some, BoringSSL trusts no certificate that has one. */
  readonly byName?: KeyAndCertificate | undefined
}

export interface SentCertificates {
  /** PEM of what signed them; undefined where there is none. */
  readonly authority: string | undefined
  /** By the name of the resource. */
  readonly certificates: Readonly<Record<string, ShownCertificate>>
}

const none: SentCertificates = { authority: undefined, certificates: {} }

/** @returns undefined when it isn't what the operator sends. One of an older version sends nothing. */
export function readCertificates(value: unknown): SentCertificates | undefined {
  if (value === undefined) return none
  if (!isObject(value) || !isObject(value.certificates)) return undefined
  const { authority, certificates } = value
  if (authority !== undefined && typeof authority !== 'string') return undefined
  return Object.values(certificates).every(isShown)
    ? { authority, certificates: certificates as Record<string, ShownCertificate> }
    : undefined
}

/** What an agent's clients trust: the public authorities, which a file of their own would take from them, and ours. */
export function trustBundle({ authority }: SentCertificates): string {
  return [...rootCertificates, ...(authority === undefined ? [] : [authority])]
    .map((certificate) => `${certificate.trim()}\n`)
    .join('')
}

/** That of an operator of an older version is one for all. */
function isShown(value: unknown): value is ShownCertificate {
  if (!isKeyAndCertificate(value)) return false
  const { byName }: ShownCertificate = value
  return byName === undefined || isKeyAndCertificate(byName)
}

function isKeyAndCertificate(value: unknown): value is KeyAndCertificate {
  return isObject(value) && typeof value.certificate === 'string' && typeof value.key === 'string'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Certificates that are made in this process: an authority, and what it signs. */
import 'reflect-metadata'
import { createPublicKey, randomBytes, type webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import { nameConstraints } from './name-constraints.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const day = 24 * 60 * 60 * 1000

/** PEM texts. */
export interface KeyAndCertificate {
  readonly certificate: string
  readonly key: string
}

export interface Subject {
  /** Common name: the user's name, to Kubernetes. */
  readonly name: string
  /** Organisations: the user's groups, to Kubernetes. */
  readonly groups?: readonly string[]
}

export class CertificateAuthority {
  /** PEM text of its own certificate. */
  readonly certificate: string
  readonly #issuer: x509.X509Certificate
  readonly #keys: webcrypto.CryptoKeyPair

  private constructor(issuer: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#issuer = issuer
    this.#keys = keys
    this.certificate = issuer.toString('pem')
  }

  /** @param days that it, and what it signs, is good for. */
  static async create(name: string, days = defaultDays): Promise<CertificateAuthority> {
    const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    return await CertificateAuthority.#of(name, keys, days)
  }

  /** An authority that is trusted for some hosts only. @param key PEM, PKCS #8; several authorities may share it. */
  static async limited(
    name: string,
    key: string,
    hosts: readonly string[],
    days: number,
  ): Promise<CertificateAuthority> {
    const keys = await keyPairOf(key)
    return await CertificateAuthority.#of(name, keys, days, [nameConstraints(hosts)])
  }

  static async #of(
    name: string,
    keys: webcrypto.CryptoKeyPair,
    days: number,
    limits: readonly x509.Extension[] = [],
  ): Promise<CertificateAuthority> {
    const issuer = await x509.X509CertificateGenerator.createSelfSigned({
      ...validity(days),
      name: [{ CN: [name] }],
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        // strict verifiers, such as Python's from 3.13 on, ask for it
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        ...limits,
      ],
    })
    return new CertificateAuthority(issuer, keys)
  }

  /** The authority whose certificate and key were written down by an earlier process. */
  static async load({ certificate, key }: KeyAndCertificate): Promise<CertificateAuthority> {
    return new CertificateAuthority(new x509.X509Certificate(certificate), await keyPairOf(key))
  }

  async export(): Promise<KeyAndCertificate> {
    return { certificate: this.certificate, key: await pem(this.#keys.privateKey) }
  }

  /** When a certificate lapses. */
  static lapsesAt(certificate: string): Date {
    return new x509.X509Certificate(certificate).notAfter
  }

  /** For a server that is reached under these names; an IP address is told from a host name. */
  async server(subject: Subject, names: readonly string[], days = defaultDays): Promise<KeyAndCertificate> {
    const usages = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]
    return this.#issue(subject, usages, names, days)
  }

  async client(subject: Subject): Promise<KeyAndCertificate> {
    return this.#issue(subject, [x509.ExtendedKeyUsage.clientAuth], [], defaultDays)
  }

  async #issue(
    { name, groups = [] }: Subject,
    usages: string[],
    names: readonly string[],
    days: number,
  ): Promise<KeyAndCertificate> {
    const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const organisations = groups.map((group) => ({ O: [group] }))
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity(days),
      subject: [...organisations, { CN: [name] }],
      issuer: this.#issuer.subject,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(usages),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names.map(generalName))] : []),
      ],
    })
    return { certificate: certificate.toString('pem'), key: await pem(keys.privateKey) }
  }
}

/** PEM, PKCS #8, of a key that an authority may sign with. */
export async function authorityKey(): Promise<string> {
  const { privateKey } = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  return await pem(privateKey)
}

/** A key pair that signs service account tokens. */
export async function signingKeyPair(): Promise<{ readonly privateKey: string; readonly publicKey: string }> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const publicKey = x509.PemConverter.encode(
    await crypto.subtle.exportKey('spki', keys.publicKey),
    'PUBLIC KEY',
  )
  return { privateKey: await pem(keys.privateKey), publicKey }
}

/** @param key PEM, PKCS #8. */
async function keyPairOf(key: string): Promise<webcrypto.CryptoKeyPair> {
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(key), algorithm, true, [
      'sign',
    ]),
    publicKey: await crypto.subtle.importKey('spki', publicKey, algorithm, true, ['verify']),
  }
}

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
}

const defaultDays = 7

/** From an hour ago, for clocks that differ. */
function validity(days: number): { serialNumber: string; notBefore: Date; notAfter: Date } {
  const now = Date.now()
  return {
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    notBefore: new Date(now - day / 24),
    notAfter: new Date(now + days * day),
  }
}

function generalName(name: string): x509.JsonGeneralName {
  return { type: isIP(name) === 0 ? 'dns' : 'ip', value: name }
}

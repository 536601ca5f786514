/**
 * Who may sign recordings where every agent has a key of its own: an authority says of each key whose it is. So one key, the
 * authority's, tells of all recordings whether they are of this installation, and a stolen key signs for one agent only.
 */
import { createPrivateKey, type KeyObject, sign, verify } from 'node:crypto'
import type { QualifiedName } from '@firebreak/policy'
import { nameOfSigner, publicKeyOf, type RecordingHeader } from './header.ts'

/** Stands in a recording's header, beside the key that signs. */
export interface Voucher {
  /** Whose sessions the key signs. */
  readonly agent: QualifiedName
  /** The public key of who says so, 32 bytes in base64url. */
  readonly authority: string
  /** Ed25519, in base64url. */
  readonly signature: string
}

/** A private key, and who vouches for it. */
export interface VouchedSigner {
  readonly key: KeyObject
  readonly voucher: Voucher
}

/** @param signer the public key that is vouched for, as headers name it. */
export function vouch(authority: KeyObject, signer: string, agent: QualifiedName): Voucher {
  const signature = sign(null, statement(signer, agent), authority).toString('base64url')
  return { agent, authority: nameOfSigner(authority), signature }
}

/**
 * Whether a recording with this header may have been signed by the key that it names.
 *
 * @param trusted public keys: of signers themselves, and of authorities.
 */
export function isTrusted({ signer, voucher, chain }: RecordingHeader, trusted: readonly string[]): boolean {
  if (trusted.includes(signer)) return true
  if (!voucher || !trusted.includes(voucher.authority) || !chain.includes(voucher.agent)) return false
  const { agent, authority, signature } = voucher
  return verify(null, statement(signer, agent), publicKeyOf(authority), Buffer.from(signature, 'base64url'))
}

/** @param pkcs8 in base64. @throws Error when it is no Ed25519 private key. */
export function privateKeyOf(pkcs8: string): KeyObject {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' })
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('it is no Ed25519 key')
  return key
}

function statement(signer: string, agent: QualifiedName): Buffer {
  return Buffer.from(`firebreak recording signer\0${signer}\0${agent}`)
}

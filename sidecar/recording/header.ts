/** The first block of a recording: what may be known of it without its key. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { QualifiedName, ResourceType } from '@firebreak/policy'
import type { Voucher } from './voucher.ts'

export interface RecordingHeader {
  /** The session's reference. */
  readonly recording: string
  /** ISO 8601, UTC. All times in the recording count from here. */
  readonly startedAt: string
  /** Says what the bytes of responses are. */
  readonly protocol: ResourceType
  readonly identity: QualifiedName
  /** From the first to the one who acts. */
  readonly chain: readonly QualifiedName[]
  readonly resource: QualifiedName
  readonly role: string
  /** How long it is kept after its end. */
  readonly keepSeconds: number
  /** The Ed25519 public key that signs every block, 32 bytes in base64url. */
  readonly signer: string
  /** Who says that this key signs for that agent; absent where a gateway has one key for all. */
  readonly voucher?: Voucher | undefined
  /** Who can read it, as age writes public keys. */
  readonly recipients: readonly string[]
  /** The secret that the blocks' key is made of: an age file for the recipients, in base64. */
  readonly key: string
  /** Who can read what masks hid, and the secret that its blocks' key is made of, wrapped for them. Absent: it isn't there. */
  readonly unmasked?: { readonly recipients: readonly string[]; readonly key: string } | undefined
}

export function encodeHeader(header: RecordingHeader): Buffer {
  return Buffer.from(JSON.stringify(header))
}

/** @returns the header, or what is wrong with it. */
export function decodeHeader(body: Buffer): RecordingHeader | string {
  try {
    const header = JSON.parse(body.toString('utf8')) as RecordingHeader
    publicKeyOf(header.signer)
    return hasKnownForm(header) ? header : notAHeader
  } catch {
    return notAHeader
  }
}

const notAHeader = 'the header is not what it should be'

/** As far as somebody decides by it before its content is believed. */
function hasKnownForm({ chain, signer, recipients, voucher, unmasked }: RecordingHeader): boolean {
  const areTexts = (values: readonly unknown[]): boolean => values.every((value) => typeof value === 'string')
  return (
    Array.isArray(chain) &&
    areTexts(chain) &&
    Array.isArray(recipients) &&
    [signer, ...recipients].every(isShownAsItIs) &&
    (voucher === undefined || areTexts([voucher.agent, voucher.authority, voucher.signature])) &&
    (unmasked === undefined || (areTexts(unmasked.recipients) && areTexts([unmasked.key])))
  )
}

/** Keys are quoted to whoever looks for them: nothing of them may be obeyed by a terminal. */
function isShownAsItIs(key: unknown): boolean {
  return typeof key === 'string' && /^[\x20-\x7e]+$/.test(key)
}

/** @param signer 32 bytes in base64url. @throws Error when it is none. */
export function publicKeyOf(signer: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: signer }, format: 'jwk' })
}

/** The public part of a key, as headers name it. */
export function nameOfSigner(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return publicKey.export({ format: 'jwk' }).x ?? ''
}

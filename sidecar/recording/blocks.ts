/** The blocks that a recording consists of, byte by byte as docs/recording.md describes them. */
import { hash, type KeyObject, sign, verify } from 'node:crypto'

export const headLength = 176
/** What the signature covers: the head up to here, after the {@link signatureContext}. */
const signedLength = 112
/** What is bound to a body by its encryption: the head up to the body's own hash. */
export const boundLength = 80
/** Nothing longer is ever written; what a head says beyond that is not believed. In bytes. */
export const maximumBody = 64 * 1024 * 1024

const magic = Buffer.from('FBRB', 'latin1')
/** 2: what masks hid may be there as well. */
export type FormatVersion = 1 | 2
const signatureContext = Buffer.from('firebreak recording block\0', 'latin1')

export const blockKind = { header: 0, entries: 1, index: 2, unmasked: 3 } as const
export type BlockKind = (typeof blockKind)[keyof typeof blockKind]

/** What a block's head says of it. Times are microseconds since the recording's start. */
export interface BlockHead {
  /** The same in all blocks of a recording. */
  readonly version: FormatVersion
  readonly kind: BlockKind
  /** 0 is the header. */
  readonly number: number
  /** In bytes, as it is stored. */
  readonly bodyLength: number
  /** In bytes, decrypted and decompressed. */
  readonly plainLength: number
  /** How many commands began before this block. */
  readonly commandsBefore: number
  readonly commands: number
  readonly entries: number
  readonly firstTime: number
  readonly lastTime: number
}

/** A head with what it proves. */
export interface ReadHead extends BlockHead {
  /** SHA-256 of the head before. */
  readonly previous: Buffer
  /** SHA-256 of the body. */
  readonly bodyHash: Buffer
  /** All of it. */
  readonly bytes: Buffer
}

/** SHA-256 of a head, which the next one names. */
export function hashOfHead(head: Uint8Array): Buffer {
  return hash('sha256', head, 'buffer')
}

export function hashOfBody(body: Uint8Array): Buffer {
  return hash('sha256', body, 'buffer')
}

/** The previous hash of the header. */
export const noHash = Buffer.alloc(32)

/** The beginning of a head, which the body's encryption is bound to: all but the body's hash and the signature. */
export function beginHead(head: BlockHead, previous: Uint8Array): Buffer {
  const bytes = Buffer.alloc(headLength)
  magic.copy(bytes, 0)
  bytes.writeUInt8(head.version, 4)
  bytes.writeUInt8(head.kind, 5)
  bytes.writeUInt32BE(head.number, 8)
  bytes.writeUInt32BE(head.bodyLength, 12)
  bytes.writeUInt32BE(head.plainLength, 16)
  bytes.writeUInt32BE(head.commandsBefore, 20)
  bytes.writeBigUInt64BE(BigInt(head.firstTime), 24)
  bytes.writeBigUInt64BE(BigInt(head.lastTime), 32)
  bytes.writeUInt32BE(head.commands, 40)
  bytes.writeUInt32BE(head.entries, 44)
  bytes.set(previous, 48)
  return bytes
}

/** Adds the body's hash and the signature to what {@link beginHead} made. */
export function completeHead(head: Buffer, body: Uint8Array, signer: KeyObject): void {
  head.set(hashOfBody(body), boundLength)
  head.set(sign(null, signedPart(head), signer), signedLength)
}

export function isSignedBy(head: ReadHead, signer: KeyObject): boolean {
  return verify(null, signedPart(head.bytes), signer, head.bytes.subarray(signedLength, headLength))
}

/** @returns the head, or what is wrong with it. */
export function readHead(bytes: Buffer): ReadHead | string {
  if (bytes.length < headLength) return 'it is cut off'
  if (!bytes.subarray(0, 4).equals(magic)) return 'this is not the beginning of a block'
  const version = bytes.readUInt8(4)
  if (version !== 1 && version !== 2) return `it is of version ${version}, which is not known`
  const kind = bytes.readUInt8(5)
  if (!isKindOf(version, kind)) return `it is of kind ${kind}, which is not known`
  if (bytes.readUInt16BE(6) !== 0) return 'what is reserved is not zero'
  const head: ReadHead = {
    version,
    kind,
    number: bytes.readUInt32BE(8),
    bodyLength: bytes.readUInt32BE(12),
    plainLength: bytes.readUInt32BE(16),
    commandsBefore: bytes.readUInt32BE(20),
    firstTime: Number(bytes.readBigUInt64BE(24)),
    lastTime: Number(bytes.readBigUInt64BE(32)),
    commands: bytes.readUInt32BE(40),
    entries: bytes.readUInt32BE(44),
    previous: bytes.subarray(48, 80),
    bodyHash: bytes.subarray(boundLength, signedLength),
    bytes: bytes.subarray(0, headLength),
  }
  if (head.bodyLength > maximumBody || head.plainLength > maximumBody) return 'it is impossibly long'
  return head
}

function isKindOf(version: FormatVersion, kind: number): kind is BlockKind {
  return kind <= (version === 1 ? blockKind.index : blockKind.unmasked)
}

function signedPart(head: Buffer): Buffer {
  return Buffer.concat([signatureContext, head.subarray(0, signedLength)])
}

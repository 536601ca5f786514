/** Goes through a recording's blocks and believes none of them before it is proven. */
import type { KeyObject } from 'node:crypto'
import {
  blockKind,
  type FormatVersion,
  hashOfBody,
  hashOfHead,
  headLength,
  isSignedBy,
  noHash,
  type ReadHead,
  readHead,
} from './blocks.ts'
import { decodeHeader, publicKeyOf, type RecordingHeader } from './header.ts'
import { decodeIndex } from './index-block.ts'
import type { RecordingSource } from './store.ts'
import { isTrusted } from './voucher.ts'

/** A block that is what was written, in its place. */
export interface ProvenBlock {
  readonly kind: 'block'
  /** In bytes from the recording's beginning. */
  readonly position: number
  readonly head: ReadHead
  readonly body: Buffer
}

/** What is at the end and no whole block: the writer was stopped there, or the end was cut off. */
export interface TornEnd {
  readonly kind: 'torn'
  readonly position: number
  readonly length: number
}

/** Something was altered. */
export interface BrokenBlock {
  readonly kind: 'broken'
  /** Number of the first block that doesn't verify. */
  readonly block: number
  /** Where its part begins that doesn't, in bytes from the recording's beginning. */
  readonly position: number
  /** Of that part: the first altered byte is in it. */
  readonly length: number
  readonly what: string
}

export type WalkedBlock = ProvenBlock | TornEnd | BrokenBlock

/** Where a walk begins; the header is known where it isn't there. */
export interface WalkStart {
  readonly position: number
  /** Of the block there. */
  readonly number: number
  readonly signer: KeyObject
}

/**
 * Every block with its place, up to the first one that doesn't verify.
 *
 * @param trusted the keys that may have signed, or vouched for who did, as headers name them; any where it is absent.
 * @param start absent: the beginning. Elsewhere the first block is not held against the one before it.
 */
export async function* walk(
  source: RecordingSource,
  trusted?: readonly string[],
  start?: WalkStart,
): AsyncGenerator<WalkedBlock, undefined> {
  let { position, number } = start ?? { position: 0, number: 0 }
  let signer = start?.signer
  let previous: Buffer | undefined = start ? undefined : noHash
  let version: FormatVersion | undefined
  let ended = false
  while (position < source.size) {
    const broken = (what: string, from = 0, length = headLength): BrokenBlock => ({
      kind: 'broken',
      block: number,
      position: position + from,
      length: Math.min(length, source.size - position - from),
      what,
    })
    if (ended) return yield* one(broken('something follows the end', 0, source.size - position))
    const bytes = await source.read(position, headLength)
    if (bytes.length < headLength && number > 0)
      return yield* one(tornHead(bytes, version, previous, number, position, broken))
    const head = readHead(bytes)
    if (typeof head === 'string') return yield* one(broken(head))
    if (version !== undefined && head.version !== version)
      return yield* one(broken(`it is of version ${head.version} among blocks of version ${version}`))
    if (head.number !== number) return yield* one(broken(`it is block ${head.number} where ${number} is due`))
    if ((head.kind === blockKind.header) !== (number === 0))
      return yield* one(broken('only the first block is a header'))
    if (previous && !head.previous.equals(previous))
      return yield* one(
        broken(number === 0 ? 'it follows another block' : 'it does not follow the block before it'),
      )
    // the key that signs the header stands in it
    const header = number === 0 ? headerOf(await source.read(headLength, head.bodyLength)) : undefined
    if (header) signer = publicKeyOf(header.signer)
    if (!signer || !isSignedBy(head, signer))
      return yield* one(
        number === 0
          ? broken('the header is not what was signed', 0, headLength + head.bodyLength)
          : broken('its head is not what was signed'),
      )
    if (position + headLength + head.bodyLength > source.size)
      return yield* one({ kind: 'torn', position, length: source.size - position })
    const body = await source.read(position + headLength, head.bodyLength)
    if (!hashOfBody(body).equals(head.bodyHash))
      return yield* one(broken('its body is not what was signed', headLength, head.bodyLength))
    if (header && trusted && !isTrusted(header, trusted))
      return yield* one(broken(`it is signed by ${header.signer}, which is not trusted`))
    ended = head.kind === blockKind.index
    if (ended && !decodeIndex(body)) return yield* one(broken('the index is not what it should be'))
    yield { kind: 'block', position, head, body }
    position += headLength + head.bodyLength
    number++
    version = head.version
    previous = hashOfHead(head.bytes)
  }
  return undefined
}

function* one(last: WalkedBlock): Generator<WalkedBlock, undefined> {
  yield last
  return undefined
}

function headerOf(body: Buffer): RecordingHeader | undefined {
  const header = decodeHeader(body)
  return typeof header === 'string' ? undefined : header
}

/** As much of a head as there is must be that of the block that is due. */
function tornHead(
  bytes: Buffer,
  version: FormatVersion | undefined,
  previous: Buffer | undefined,
  number: number,
  position: number,
  broken: (what: string) => BrokenBlock,
): TornEnd | BrokenBlock {
  const expected = Buffer.from(
    version === undefined ? 'FBRB' : `FBRB${String.fromCharCode(version)}`,
    'latin1',
  )
  const fits = (at: number, due: Buffer): boolean =>
    bytes.subarray(at, at + due.length).equals(due.subarray(0, Math.max(0, bytes.length - at)))
  const numberBytes = Buffer.alloc(4)
  numberBytes.writeUInt32BE(number)
  return fits(0, expected) && fits(8, numberBytes) && (!previous || fits(48, previous))
    ? { kind: 'torn', position, length: bytes.length }
    : broken('this is not the beginning of the block that is due')
}

/** The header of a recording, unproven; or what is wrong. */
export async function peekHeader(source: RecordingSource): Promise<RecordingHeader | string> {
  const head = readHead(await source.read(0, headLength))
  if (typeof head === 'string') return head
  if (head.kind !== blockKind.header) return 'it does not begin with a header'
  return decodeHeader(await source.read(headLength, head.bodyLength))
}

/** Reads a recording, finished or not, from its beginning or from a moment or command on. */
import type { KeyObject } from 'node:crypto'
import { blockKind, headLength, type ReadHead, readHead } from './blocks.ts'
import { type Entry, type OfEntry, readEntries, type TimedEntry } from './entries.ts'
import { publicKeyOf, type RecordingHeader } from './header.ts'
import { decodeIndex, type IndexEntry, indexLength, trailerLength } from './index-block.ts'
import { unwrapSecret } from './keys.ts'
import { blockKey, decrypt, unmaskedKey, unseal } from './sealing.ts'
import type { RecordingSource } from './store.ts'
import { readPieces } from './unmasked.ts'
import { type ProvenBlock, peekHeader, type WalkStart, walk } from './walk.ts'

/** A recording that can't be read: altered, or not for these keys. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError'
}

/** From where to read on: the block with that moment, or with that command (the first is 0). */
export type From = { readonly time: number } | { readonly command: number }

export interface ReadEntry extends TimedEntry {
  readonly entry: Exclude<Entry, OfEntry>
  /** Number of the command that was decided last; -1 before the first. */
  readonly command: number
  /** Reference of the command that a response, input or cut is of, where that is said. */
  readonly of?: string | undefined
  /** Of a response: what masks made it of, for who may see that. */
  readonly unmasked?: Buffer | undefined
}

export class RecordingReader {
  readonly header: RecordingHeader
  readonly #source: RecordingSource
  readonly #signer: KeyObject
  readonly #key: Buffer
  /** Absent where there is no key for what masks hid, or nothing of it. */
  readonly #unmaskedKey: Buffer | undefined

  /**
   * @param identities private keys as age writes them (`AGE-SECRET-KEY-…`): one of a reader, and where one is there of
   * somebody who may see what masks hid, that is read too.
   * @throws RecordingError when the header is none, or none of the keys is for it.
   */
  static async open(source: RecordingSource, identities: readonly string[]): Promise<RecordingReader> {
    const header = await peekHeader(source)
    if (typeof header === 'string') throw new RecordingError(`this is no recording: ${header}`)
    const secret = await unwrapSecret(header.key, identities)
    if (!secret)
      throw new RecordingError(
        `recording ${header.recording} is for the keys of ${header.recipients.join(', ')}, and none of them is here`,
      )
    const unmasked = header.unmasked && (await unwrapSecret(header.unmasked.key, identities))
    return new RecordingReader(source, header, secret, unmasked)
  }

  private constructor(
    source: RecordingSource,
    header: RecordingHeader,
    secret: Uint8Array,
    unmasked: Uint8Array | undefined,
  ) {
    this.#source = source
    this.header = header
    this.#signer = publicKeyOf(header.signer)
    this.#key = blockKey(secret, header.recording)
    this.#unmaskedKey = unmasked && unmaskedKey(unmasked, header.recording)
  }

  /** Whether what masks hid is read too, as far as it was kept. */
  get readsUnmasked(): boolean {
    return this.#unmaskedKey !== undefined
  }

  /**
   * Entries in order, each block proven before it is read. Ends where the recording ends, or is torn.
   *
   * @param from begins with the block that holds it, so that entries before it may come first.
   * @throws RecordingError where something was altered.
   */
  async *entries(from?: From): AsyncGenerator<ReadEntry, undefined> {
    const start = from && (await this.#find(from))
    /** Of the responses in the next block of entries. */
    let unmasked = new Map<number, Buffer>()
    for await (const block of walk(this.#source, [this.header.signer], start)) {
      if (block.kind === 'torn') return
      if (block.kind === 'broken')
        throw new RecordingError(
          `recording ${this.header.recording} was altered at byte ${block.position}, in block ${block.block}: ${block.what}`,
        )
      if (block.head.kind === blockKind.unmasked) this.#readUnmasked(block, unmasked)
      if (block.head.kind !== blockKind.entries) continue
      yield* this.#read(block, unmasked)
      unmasked = new Map()
    }
  }

  async *#read(
    { head, body }: ProvenBlock,
    unmasked: ReadonlyMap<number, Buffer>,
  ): AsyncGenerator<ReadEntry, undefined> {
    const plain = await unseal(body, this.#key, head.number, head.bytes).catch(() => undefined)
    if (plain?.length !== head.plainLength) throw this.#error(head, "can't be decrypted")
    let command = head.commandsBefore - 1
    let response = 0
    let of: string | undefined
    try {
      for (const { time, entry } of readEntries(plain)) {
        if (entry.type === 'command') command++
        if (entry.type === 'of') of = entry.reference
        else if (entry.type === 'response')
          yield { time, entry, command, of, unmasked: unmasked.get(response++) }
        else yield { time, entry, command, of }
      }
    } catch {
      throw this.#error(head, 'holds what is no entry')
    }
  }

  #readUnmasked({ head, body }: ProvenBlock, known: Map<number, Buffer>): void {
    const key = this.#unmaskedKey
    if (!key) return
    try {
      readPieces(decrypt(body, key, head.number, head.bytes), known)
    } catch {
      throw this.#error(head, "can't be decrypted")
    }
  }

  #error({ number }: ReadHead, what: string): RecordingError {
    return new RecordingError(`block ${number} of recording ${this.header.recording} ${what}`)
  }

  /** @returns how many commands, how long, and whether the recording has its end; from heads alone. */
  async extent(): Promise<{ commands: number; microseconds: number; finished: boolean }> {
    const index = await this.#index()
    if (index)
      return { commands: index.head.commandsBefore, microseconds: index.head.lastTime, finished: true }
    let last: ReadHead | undefined
    for await (const { head } of this.#heads(0)) last = head
    return {
      commands: last ? last.commandsBefore + last.commands : 0,
      microseconds: last?.lastTime ?? 0,
      finished: false,
    }
  }

  /** The block that holds a place, by the index as far as there is one, and by heads from there. */
  async #find(from: From): Promise<WalkStart | undefined> {
    const isBefore = ({ time, commandsBefore }: Pick<IndexEntry, 'time' | 'commandsBefore'>): boolean =>
      'time' in from ? time <= from.time : commandsBefore <= from.command
    const index = await this.#index()
    const known = index?.entries.findLast(isBefore)
    let found: WalkStart | undefined
    let belongs = false
    for await (const { head, position } of this.#heads(known?.position ?? 0)) {
      if (head.kind === blockKind.index) break
      if (head.kind === blockKind.header) continue
      if (found && !isBefore({ time: head.firstTime, commandsBefore: head.commandsBefore })) break
      // what masks hid stands before the entries that it is of
      if (!belongs) found = { position, number: head.number, signer: this.#signer }
      belongs = head.kind === blockKind.unmasked
    }
    return found
  }

  async *#heads(position: number): AsyncGenerator<{ head: ReadHead; position: number }, undefined> {
    for (let at = position; at < this.#source.size; ) {
      const head = readHead(await this.#source.read(at, headLength))
      if (typeof head === 'string' || at + headLength + head.bodyLength > this.#source.size) return
      yield { head, position: at }
      at += headLength + head.bodyLength
    }
  }

  /** Absent when the recording has no end. */
  async #index(): Promise<{ head: ReadHead; entries: readonly IndexEntry[] } | undefined> {
    const { size } = this.#source
    const length = indexLength(await this.#source.read(Math.max(0, size - trailerLength), trailerLength))
    if (length === undefined || length > size) return undefined
    const head = readHead(await this.#source.read(size - length, headLength))
    if (typeof head === 'string' || head.kind !== blockKind.index) return undefined
    const entries = decodeIndex(await this.#source.read(size - length + headLength, head.bodyLength))
    return entries && { head, entries }
  }
}

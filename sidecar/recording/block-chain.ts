/** The blocks of a recording that is being written, each sealed, numbered, signed and tied to the one before. */
import type { KeyObject } from 'node:crypto'
import {
  type BlockHead,
  type BlockKind,
  beginHead,
  blockKind,
  completeHead,
  hashOfHead,
  noHash,
} from './blocks.ts'
import { encodeIndex, SparseIndex } from './index-block.ts'
import { blockKey, compressed, encrypt, tagLength, unmaskedKey } from './sealing.ts'

/** What is known of a block before it is sealed. */
export type Planned = Omit<BlockHead, 'version' | 'number' | 'bodyLength' | 'plainLength'>

export interface SealedBlock {
  readonly bytes: Buffer
  readonly head: Buffer
}

export interface Secrets {
  /** That the header wraps for readers. */
  readonly secret: Uint8Array
  /** That it wraps for those who may see what masks hid. */
  readonly unmaskedSecret?: Uint8Array | undefined
}

export class BlockChain {
  /** How many are written. */
  length = 0
  /** Of them, in bytes. */
  written = 0
  readonly #signer: KeyObject
  readonly #keys: Partial<Record<BlockKind, Buffer>>
  readonly #index = new SparseIndex()
  /** Where those blocks begin that belong to the next block of entries. */
  #unmaskedFrom: number | undefined
  #previous: Buffer = noHash

  constructor(recording: string, { secret, unmaskedSecret }: Secrets, signer: KeyObject) {
    this.#signer = signer
    this.#keys = {
      [blockKind.entries]: blockKey(secret, recording),
      ...(unmaskedSecret && { [blockKind.unmasked]: unmaskedKey(unmaskedSecret, recording) }),
    }
  }

  get keepsUnmasked(): boolean {
    return this.#keys[blockKind.unmasked] !== undefined
  }

  /** SHA-256 of the last head that is written, in hexadecimal. */
  get hash(): string {
    return this.#previous.toString('hex')
  }

  /** The block that comes next, once it is {@link wrote}. */
  async seal(plain: Buffer, planned: Planned): Promise<SealedBlock> {
    const { kind } = planned
    const key = this.#keys[kind]
    const content = kind === blockKind.entries ? await compressed(plain) : plain
    const head = beginHead(
      {
        ...planned,
        version: this.keepsUnmasked ? 2 : 1,
        number: this.length,
        bodyLength: content.length + (key ? tagLength : 0),
        plainLength: plain.length,
      },
      this.#previous,
    )
    const body = key ? encrypt(content, key, this.length, head) : content
    completeHead(head, body, this.#signer)
    if (kind === blockKind.unmasked) this.#unmaskedFrom ??= this.written
    if (kind === blockKind.entries) {
      const position = this.#unmaskedFrom ?? this.written
      this.#index.add({ position, time: planned.firstTime, commandsBefore: planned.commandsBefore })
      this.#unmaskedFrom = undefined
    }
    return { bytes: Buffer.concat([head, body]), head }
  }

  /** The last block of all. */
  sealIndex(planned: Omit<Planned, 'kind'>): Promise<SealedBlock> {
    return this.seal(encodeIndex(this.#index.entries), { ...planned, kind: blockKind.index })
  }

  wrote({ bytes, head }: SealedBlock): void {
    this.written += bytes.length
    this.length++
    this.#previous = hashOfHead(head)
  }
}

/** Writes one recording: entries → blocks, compressed, encrypted, signed and chained, in order. */
import type { KeyObject } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { BlockChain, type Planned, type SealedBlock, type Secrets } from './block-chain.ts'
import { blockKind, maximumBody } from './blocks.ts'
import { type EntryType, entryHeadLength, writeEntryHead } from './entries.ts'
import { encodeHeader, type RecordingHeader } from './header.ts'
import type { RecordingSink } from './store.ts'
import { piecesOf, UnmaskedPieces } from './unmasked.ts'

/** Entries of a block, in bytes. What is longer has a block of its own. */
const blockSize = 128 * 1024
const smallest = 4 * 1024
/** What a reader takes has room for it, even where it becomes longer by being compressed. */
export const maximumEntry = maximumBody / 2
/** Blocks that may wait to be written; beyond that the session has to wait. */
const maximumWaiting = 2
/** In milliseconds. */
const retryAfter = 250

export interface RecordingWriterOptions extends Secrets {
  readonly sink: RecordingSink
  readonly header: RecordingHeader
  readonly signer: KeyObject
  /** Monotonic, in milliseconds. */
  readonly now: () => number
  /** The place takes nothing now; it is tried again until it does, or the recording is given up. */
  readonly onFailed: (error: Error) => void
  readonly onRecovered: () => void
}

interface Pending {
  readonly plain: Buffer
  readonly planned: Planned
}

export class RecordingWriter {
  readonly #options: RecordingWriterOptions
  readonly #chain: BlockChain
  readonly #startedAt: number
  readonly #waiting: Pending[] = []
  readonly #givenUp = new AbortController()
  /** Of the entries that are collected now. */
  readonly #unmasked = new UnmaskedPieces()
  #plain = Buffer.allocUnsafe(smallest)
  #length = 0
  #entries = 0
  #responses = 0
  /** What was said last in this block. */
  #of: string | undefined
  #commands = 0
  #commandsBefore = 0
  #firstTime = 0
  #lastTime = 0
  #pumping: Promise<void> | undefined
  #synced = true
  #syncing: Promise<void> | undefined
  #failing = false
  #drained: PromiseWithResolvers<void> | undefined

  /** Writes the header. @throws what the sink throws: nothing is tried again. */
  static async start(options: RecordingWriterOptions): Promise<RecordingWriter> {
    const writer = new RecordingWriter(options)
    const body = encodeHeader(options.header)
    const header = await writer.#chain.seal(body, {
      kind: blockKind.header,
      commandsBefore: 0,
      commands: 0,
      entries: 0,
      firstTime: 0,
      lastTime: 0,
    })
    await options.sink.append(header.bytes)
    writer.#chain.wrote(header)
    await options.sink.sync()
    return writer
  }

  private constructor(options: RecordingWriterOptions) {
    this.#options = options
    this.#chain = new BlockChain(options.header.recording, options, options.signer)
    this.#startedAt = options.now()
  }

  /** Whether what masks hid can be added to entries. */
  get keepsUnmasked(): boolean {
    return this.#chain.keepsUnmasked
  }

  /**
   * Adds an entry; it is on its way to the disk with the next {@link flush}, or when its block is full.
   *
   * @param unmasked what masks made a response of, only where it {@link keepsUnmasked}.
   * @param of reference of the command that it is of, where several are answered at once.
   * @throws RangeError when it is longer than {@link maximumEntry}: whoever makes entries cuts them, and says so in them.
   */
  append(type: EntryType, content: Buffer | string, unmasked?: Buffer, of?: string): void {
    const most = entryHeadLength + mostBytesOf(content)
    if (most > maximumEntry) throw new RangeError(`an entry of ${most} bytes can't be read again`)
    const isFull =
      this.#length + most > blockSize || (unmasked && !this.#unmasked.hasRoomFor(unmasked.length))
    if (this.#length > 0 && isFull) this.#endBlock()
    if (of !== undefined && of !== this.#of) {
      this.#of = of
      const said = JSON.stringify({ reference: of })
      this.#add('of', said, entryHeadLength + mostBytesOf(said))
    }
    if (unmasked) this.#addUnmasked(unmasked)
    this.#add(type, content, most)
  }

  /** @param most that it may take, with its head. */
  #add(type: EntryType, content: Buffer | string, most: number): void {
    this.#reserve(most)
    const time = Math.max(this.#lastTime, Math.round((this.#options.now() - this.#startedAt) * 1000))
    if (this.#length === 0) this.#firstTime = time
    this.#lastTime = time
    const start = this.#length + entryHeadLength
    const length =
      typeof content === 'string'
        ? this.#plain.write(content, start, 'utf8')
        : content.copy(this.#plain, start)
    writeEntryHead(this.#plain, this.#length, type, time, length)
    this.#length = start + length
    this.#entries++
    if (type === 'command') this.#commands++
    if (type === 'response') this.#responses++
  }

  /** Of the recording so far, in bytes. */
  get written(): number {
    return this.#chain.written
  }

  /** How many are written. */
  get blocks(): number {
    return this.#chain.length
  }

  /** How many began. */
  get commands(): number {
    return this.#commandsBefore + this.#commands
  }

  /** SHA-256 of the last head that is written, in hexadecimal. */
  get hash(): string {
    return this.#chain.hash
  }

  /** Whether whoever appends has to wait for {@link drained}. */
  get full(): boolean {
    return !this.#givenUp.signal.aborted && (this.#failing || this.#waiting.length >= maximumWaiting)
  }

  drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  /** Whether there is anything that a sudden end would lose. */
  get dirty(): boolean {
    return this.#length > 0 || this.#pumping !== undefined || !this.#synced
  }

  /** Resolves when what was appended before is written. What a place takes its time to make safe, the next call sees to. */
  async flush(): Promise<void> {
    if (this.#length > 0) this.#endBlock()
    await this.#pumping
    if (this.#synced || this.#givenUp.signal.aborted) return
    this.#syncing ??= this.#sync().finally(() => {
      this.#syncing = undefined
    })
    await this.#syncing
  }

  /** Ends the recording with its index. */
  async end(): Promise<void> {
    await this.flush()
    const index = await this.#chain.sealIndex({
      commandsBefore: this.#commandsBefore,
      commands: 0,
      entries: 0,
      firstTime: this.#lastTime,
      lastTime: this.#lastTime,
    })
    await this.#append(index)
    await this.#persistently(() => this.#options.sink.sync())
    await this.#options.sink.close().catch(() => {})
  }

  /** What could not be written so far is lost. */
  async giveUp(): Promise<void> {
    this.#givenUp.abort()
    this.#waiting.length = 0
    this.#release()
    await this.#pumping
    await this.#options.sink.close().catch(() => {})
  }

  async #sync(): Promise<void> {
    this.#synced = true
    await this.#persistently(() => this.#options.sink.sync())
  }

  #reserve(needed: number): void {
    const size = this.#length + needed
    if (size <= this.#plain.length) return
    const larger = Buffer.allocUnsafe(Math.max(size, Math.min(blockSize, this.#plain.length * 4)))
    this.#plain.copy(larger, 0, 0, this.#length)
    this.#plain = larger
  }

  /** Stands for the next response; what doesn't fit into one block comes in several. */
  #addUnmasked(bytes: Buffer): void {
    for (const piece of piecesOf(bytes)) {
      if (!this.#unmasked.hasRoomFor(piece.length)) this.#endUnmasked()
      this.#unmasked.add(this.#responses, piece)
    }
  }

  /** Tells no more of itself than its place. */
  #endUnmasked(): void {
    const time = this.#length > 0 ? this.#firstTime : this.#lastTime
    this.#waiting.push({
      plain: this.#unmasked.take(),
      planned: {
        kind: blockKind.unmasked,
        commandsBefore: this.#commandsBefore,
        commands: 0,
        entries: 0,
        firstTime: time,
        lastTime: time,
      },
    })
  }

  #endBlock(): void {
    if (!this.#unmasked.isEmpty) this.#endUnmasked()
    this.#waiting.push({
      plain: this.#plain.subarray(0, this.#length),
      planned: {
        kind: blockKind.entries,
        commandsBefore: this.#commandsBefore,
        commands: this.#commands,
        entries: this.#entries,
        firstTime: this.#firstTime,
        lastTime: this.#lastTime,
      },
    })
    this.#commandsBefore += this.#commands
    this.#plain = Buffer.allocUnsafe(this.#length > blockSize / 2 ? blockSize : smallest)
    this.#length = this.#entries = this.#responses = this.#commands = 0
    this.#of = undefined
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined
    })
  }

  async #pump(): Promise<void> {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      await this.#append(await this.#chain.seal(next.plain, next.planned))
      if (this.#givenUp.signal.aborted) return
      this.#synced = false
      this.#waiting.shift()
      this.#release()
    }
  }

  async #append(block: SealedBlock): Promise<void> {
    await this.#persistently(() => this.#options.sink.append(block.bytes))
    if (!this.#givenUp.signal.aborted) this.#chain.wrote(block)
  }

  async #persistently(attempt: () => Promise<void>): Promise<void> {
    while (!this.#givenUp.signal.aborted) {
      try {
        await attempt()
        if (this.#failing) {
          this.#failing = false
          this.#options.onRecovered()
          this.#release()
        }
        return
      } catch (error) {
        if (!this.#failing) {
          this.#failing = true
          this.#options.onFailed(error instanceof Error ? error : new Error(String(error)))
        }
        await delay(retryAfter, undefined, { ref: false, signal: this.#givenUp.signal }).catch(() => {})
      }
    }
  }

  #release(): void {
    if (this.full) return
    this.#drained?.resolve()
    this.#drained = undefined
  }
}

/** Writing a text says how long it is: up to three bytes for each of its units. Only of a long one it is asked before. */
function mostBytesOf(content: Buffer | string): number {
  if (typeof content !== 'string') return content.length
  return content.length < blockSize ? content.length * 3 : Buffer.byteLength(content)
}

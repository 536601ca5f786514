/**
 * Recordings as objects. While a session runs each block is an object of its own, since a multipart upload that isn't
 * completed can't be read: what a killed gateway has written is there. Beside them the upload grows, and takes their place
 * at the end.
 */
import { indexLength, trailerLength } from '../index-block.ts'
import {
  isRecordingName,
  type RecordingSink,
  type RecordingSource,
  type RecordingStore,
  type StoredRecording,
} from '../store.ts'
import { S3Bucket, type S3Target, type StoredObject } from './s3-bucket.ts'

/** The least that a part of an upload may have, besides the last one. */
const partSize = 5 * 1024 * 1024
const whole = '.fbrec'
/** The name of a block's object. @param position where it begins in the recording. */
export function blockKey(id: string, position: number): string {
  return `${id}/${String(position).padStart(20, '0')}`
}

/** Objects beside a recording that say what is to become of it, and why. */
const marks = { hold: '.hold', deletion: '.delete' } as const

/** The objects of one recording. */
interface Found {
  readonly id: string
  readonly whole?: StoredObject
  readonly blocks: readonly StoredObject[]
  readonly marks: readonly string[]
}

export class S3Store implements RecordingStore {
  readonly #bucket: S3Bucket

  /** @throws Error in words, when the bucket can't be looked into. */
  static async open(target: S3Target): Promise<S3Store> {
    const store = new S3Store(target)
    await store.#found('').next()
    return store
  }

  private constructor(target: S3Target) {
    this.#bucket = new S3Bucket(target)
  }

  get place(): string {
    return this.#bucket.place
  }

  renew(target: S3Target): void {
    this.#bucket.renew(target)
  }

  async create(id: string): Promise<RecordingSink> {
    if (!isRecordingName(id)) throw new Error(`${id} is no name of a recording`)
    if (await this.#find(id)) throw new Error(`${this.place}: there is a recording ${id} already`)
    return new ObjectSink(this.#bucket, id)
  }

  async open(id: string): Promise<RecordingSource | undefined> {
    if (!isRecordingName(id)) throw new Error(`${id} is no name of a recording`)
    const found = await this.#find(id)
    return found && new ObjectSource(this.#bucket, found.whole ? [found.whole] : found.blocks)
  }

  async *list(): AsyncGenerator<StoredRecording, undefined> {
    for await (const found of this.#found('')) {
      const objects = found.whole ? [found.whole] : found.blocks
      const [hold, deletion] = [
        await this.#marked(found, marks.hold),
        await this.#marked(found, marks.deletion),
      ]
      yield {
        id: found.id,
        bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
        changedAt: new Date(Math.max(...objects.map(({ changedAt }) => changedAt.getTime()))),
        ...(found.blocks.length > 0 && { inPieces: true }),
        ...(hold !== undefined && { hold }),
        ...(deletion !== undefined && { deletion }),
      }
    }
  }

  async hold(id: string, reason: string): Promise<void> {
    await this.#existing(id)
    await this.#bucket.put(id + marks.hold, Buffer.from(reason))
  }

  async release(id: string): Promise<void> {
    await this.#existing(id)
    await this.#bucket.remove(id + marks.hold)
  }

  async askDeletion(id: string, reason: string): Promise<void> {
    await this.#refuseHeld(await this.#existing(id))
    await this.#bucket.put(id + marks.deletion, Buffer.from(reason))
  }

  async delete(id: string): Promise<void> {
    const found = await this.#existing(id)
    await this.#refuseHeld(found)
    for (const { key } of [...(found.whole ? [found.whole] : []), ...found.blocks])
      await this.#bucket.remove(key)
    for (const mark of found.marks) await this.#bucket.remove(mark)
  }

  async join(id: string): Promise<boolean> {
    const { whole: joined, blocks } = await this.#existing(id)
    const last = blocks.at(-1)
    if (joined || !last) {
      for (const { key } of blocks) await this.#bucket.remove(key)
      return true
    }
    const end = await this.#bucket.get(last.key, Math.max(0, last.bytes - trailerLength), last.bytes)
    if (indexLength(end) === undefined) return false
    const joining = new ObjectSink(this.#bucket, id)
    for (const block of blocks) await joining.take(block)
    await joining.close()
    if (joining.failed)
      throw new Error(
        `${this.place}: recording ${id} stays in ${blocks.length} objects: one can't be made of them`,
      )
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket[Symbol.dispose]()
  }

  async #find(id: string): Promise<Found | undefined> {
    for await (const found of this.#found(id)) if (found.id === id) return found
    return undefined
  }

  async #existing(id: string): Promise<Found> {
    const found = isRecordingName(id) ? await this.#find(id) : undefined
    if (!found) throw new Error(`${this.place}: there is no recording ${id}`)
    return found
  }

  async #marked({ id, marks: found }: Found, mark: string): Promise<string | undefined> {
    const key = id + mark
    return found.includes(key) ? (await this.#bucket.get(key, 0, 10_000)).toString('utf8') : undefined
  }

  async #refuseHeld(found: Found): Promise<void> {
    const hold = await this.#marked(found, marks.hold)
    if (hold !== undefined) throw new Error(`recording ${found.id} is held: ${hold}`)
  }

  /** Recordings whose names begin so; objects are listed in the order of their names. */
  async *#found(start: string): AsyncGenerator<Found, undefined> {
    let found: { id: string; whole?: StoredObject; blocks: StoredObject[]; marks: string[] } | undefined
    for await (const object of this.#bucket.list(start)) {
      const [, id, rest] = /^([0-9A-Z]+)(\.fbrec|\.hold|\.delete|\/\d+)$/.exec(object.key) ?? []
      if (id === undefined || rest === undefined || !isRecordingName(id)) continue
      if (found?.id !== id) {
        if (found && isThere(found)) yield found
        found = { id, blocks: [], marks: [] }
      }
      if (rest === whole) found.whole = object
      else if (rest.startsWith('/')) found.blocks.push(object)
      else found.marks.push(object.key)
    }
    if (found && isThere(found)) yield found
  }
}

function isThere({ whole, blocks }: Found): boolean {
  return whole !== undefined || blocks.length > 0
}

/** Uploads read back what is to be sent, and one after the other: a part is the most that they hold in memory. */
let uploading: Promise<void> = Promise.resolve()

class ObjectSink implements RecordingSink {
  readonly #bucket: S3Bucket
  readonly #id: string
  /** Of all blocks, to be removed when they are in one object. */
  readonly #blocks: { readonly key: string; readonly bytes: number }[] = []
  readonly #tags: string[] = []
  #length = 0
  /** How many of the blocks are in parts. */
  #uploaded = 0
  #pending = 0
  #upload: string | undefined
  /** The upload has failed: the blocks stay. */
  failed = false

  constructor(bucket: S3Bucket, id: string) {
    this.#bucket = bucket
    this.#id = id
  }

  async append(bytes: Buffer): Promise<void> {
    const key = blockKey(this.#id, this.#length)
    await this.#bucket.put(key, bytes)
    this.#length += bytes.length
    await this.take({ key, bytes: bytes.length })
  }

  /** The next block of it, which is there. */
  async take({ key, bytes }: Pick<StoredObject, 'key' | 'bytes'>): Promise<void> {
    this.#blocks.push({ key, bytes })
    this.#pending += bytes
    if (this.#pending >= partSize) await this.#inTurn(() => this.#uploadPending())
  }

  /** Each answer to {@link append} says that it is safe. */
  async sync(): Promise<void> {}

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      const key = this.#id + whole
      if (this.#upload === undefined) await this.#bucket.put(key, await this.#readPending())
      else {
        if (this.#pending > 0) await this.#uploadPending()
        await this.#bucket.completeUpload(key, this.#upload, this.#tags)
      }
      for (const block of this.#blocks) await this.#bucket.remove(block.key)
    })
    if (this.failed && this.#upload !== undefined)
      await this.#bucket.abortUpload(this.#id + whole, this.#upload)
  }

  async #uploadPending(): Promise<void> {
    const key = this.#id + whole
    this.#upload ??= await this.#bucket.beginUpload(key)
    const part = await this.#readPending()
    this.#tags.push(await this.#bucket.uploadPart(key, this.#upload, this.#tags.length + 1, part))
  }

  async #readPending(): Promise<Buffer> {
    const read: Buffer[] = []
    for (const { key, bytes } of this.#blocks.slice(this.#uploaded))
      read.push(await this.#bucket.get(key, 0, bytes))
    this.#uploaded = this.#blocks.length
    this.#pending = 0
    return Buffer.concat(read)
  }

  /** What goes wrong with the upload harms nothing. */
  async #inTurn(step: () => Promise<void>): Promise<void> {
    if (this.failed) return
    const done = uploading.then(step)
    uploading = done.catch(() => {})
    await done.catch(() => {
      this.failed = true
    })
  }
}

class ObjectSource implements RecordingSource {
  readonly size: number
  readonly #bucket: S3Bucket
  readonly #objects: readonly { readonly key: string; readonly start: number; readonly end: number }[]
  /** The last object that was read, where it isn't the whole recording: heads and bodies are read one after the other. */
  #last: { readonly key: string; readonly bytes: Buffer } | undefined

  constructor(bucket: S3Bucket, objects: readonly StoredObject[]) {
    this.#bucket = bucket
    let size = 0
    this.#objects = objects.map(({ key, bytes }) => {
      const start = size
      size += bytes
      return { key, start, end: size }
    })
    this.size = size
  }

  async read(position: number, length: number): Promise<Buffer> {
    const wanted = Math.min(position + length, this.size)
    const parts: Buffer[] = []
    for (const { key, start, end } of this.#objects) {
      if (end <= position || start >= wanted) continue
      const from = Math.max(position, start) - start
      const to = Math.min(wanted, end) - start
      if (this.#objects.length === 1) parts.push(await this.#bucket.get(key, from, to))
      else {
        if (this.#last?.key !== key) this.#last = { key, bytes: await this.#bucket.get(key, 0, end - start) }
        parts.push(this.#last.bytes.subarray(from, to))
      }
    }
    return Buffer.concat(parts)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

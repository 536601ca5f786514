/** Recordings as files of a directory that only its owner can look into. */
import { type FileHandle, link, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inWords } from '../../system-errors.ts'
import {
  isRecordingName,
  type RecordingSink,
  type RecordingSource,
  type RecordingStore,
  type StoredRecording,
} from '../store.ts'

const suffix = '.fbrec'
/** Of a recording without a first block yet. It gets one within seconds, or is given up. */
const draftSuffix = '.new'
/** In milliseconds: nobody writes to a draft that is so old. */
const draftIsLeftAfter = 3_600_000
/** Files beside a recording that say what is to become of it, and why. */
const marks = { hold: '.hold', deletion: '.delete' } as const

type Mark = keyof typeof marks

export class DirectoryStore implements RecordingStore {
  readonly place: string

  /** @throws Error in words, when the directory can't be made or others may look into it. */
  static async open(directory: string): Promise<DirectoryStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 }).catch(failed(directory))
    const { mode, uid } = await stat(directory).catch(failed(directory))
    if ((mode & 0o077) !== 0)
      throw new Error(`${directory}: other users may look into it; chmod 700 ${directory}`)
    if (process.getuid !== undefined && process.getuid() !== 0 && uid !== process.getuid())
      throw new Error(`${directory}: it belongs to another user`)
    await removeLeftDrafts(directory)
    return new DirectoryStore(directory)
  }

  private constructor(directory: string) {
    this.place = directory
  }

  renew(): void {}

  async create(id: string): Promise<RecordingSink> {
    const path = this.#path(id)
    const draft = this.#path(id, draftSuffix)
    const file = await open(draft, 'wx', 0o600).catch(failed(draft))
    return new FileSink(file, path, async () => {
      // it appears with its header, and in the place of no other
      await file.sync()
      await link(draft, path)
      await rm(draft)
      await syncDirectory(this.place)
    })
  }

  async open(id: string): Promise<RecordingSource | undefined> {
    const path = this.#path(id)
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw new Error(`${path}: ${inWords(error)}`)
    })
    return file && (await FileSource.of(file))
  }

  async *list(): AsyncGenerator<StoredRecording, undefined> {
    const names = await readdir(this.place).catch(failed(this.place))
    const there = new Set(names)
    for (const name of names.sort()) {
      const id = name.slice(0, -suffix.length)
      if (!name.endsWith(suffix) || !isRecordingName(id)) continue
      const found = await stat(this.#path(id)).catch(() => undefined)
      // deleted meanwhile
      if (!found) continue
      const marked = async (mark: Mark): Promise<string | undefined> =>
        there.has(id + marks[mark]) ? await this.#marked(id, mark) : undefined
      const [hold, deletion] = [await marked('hold'), await marked('deletion')]
      yield {
        id,
        bytes: found.size,
        changedAt: found.mtime,
        ...(hold !== undefined && { hold }),
        ...(deletion !== undefined && { deletion }),
      }
    }
  }

  async hold(id: string, reason: string): Promise<void> {
    await this.#mark(id, 'hold', reason)
  }

  async release(id: string): Promise<void> {
    await rm(this.#path(id, marks.hold), { force: true }).catch(failed(this.#path(id)))
  }

  async askDeletion(id: string, reason: string): Promise<void> {
    await this.#refuseHeld(id)
    await this.#mark(id, 'deletion', reason)
  }

  async delete(id: string): Promise<void> {
    await this.#refuseHeld(id)
    await rm(this.#path(id)).catch(failed(this.#path(id)))
    await rm(this.#path(id, marks.deletion), { force: true })
    await syncDirectory(this.place)
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #path(id: string, ending: string = suffix): string {
    if (!isRecordingName(id)) throw new Error(`${id} is no name of a recording`)
    return join(this.place, id + ending)
  }

  async #mark(id: string, mark: Mark, reason: string): Promise<void> {
    await stat(this.#path(id)).catch(failed(this.#path(id)))
    const path = this.#path(id, marks[mark])
    await writeFile(path, reason, { mode: 0o600, flush: true }).catch(failed(path))
    await syncDirectory(this.place)
  }

  async #marked(id: string, mark: Mark): Promise<string | undefined> {
    const path = this.#path(id, marks[mark])
    return await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw new Error(`${path}: ${inWords(error)}`)
    })
  }

  async #refuseHeld(id: string): Promise<void> {
    const hold = await this.#marked(id, 'hold')
    if (hold !== undefined) throw new Error(`recording ${id} is held: ${hold}`)
  }
}

/** One after the other: a disk is slow, and the few threads that wait for it are those that compress and write too. */
let syncing: Promise<void> = Promise.resolve()

class FileSink implements RecordingSink {
  readonly #file: FileHandle
  readonly #path: string
  readonly #appear: () => Promise<void>
  #length = 0

  constructor(file: FileHandle, path: string, appear: () => Promise<void>) {
    this.#file = file
    this.#path = path
    this.#appear = appear
  }

  async append(bytes: Buffer): Promise<void> {
    try {
      // at a place of its own, so that trying again overwrites what was left of a failed write
      for (let done = 0; done < bytes.length; ) {
        const length = bytes.length - done
        const { bytesWritten } = await this.#file.write(bytes, done, length, this.#length + done)
        done += bytesWritten
      }
      if (this.#length === 0) await this.#appear()
    } catch (error) {
      failed(this.#path)(error)
    }
    this.#length += bytes.length
  }

  async sync(): Promise<void> {
    const turn = syncing.then(() => this.#file.datasync())
    syncing = turn.catch(() => {})
    await turn.catch(failed(this.#path))
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

class FileSource implements RecordingSource {
  readonly size: number
  readonly #file: FileHandle

  static async of(file: FileHandle): Promise<FileSource> {
    return new FileSource(file, (await file.stat()).size)
  }

  private constructor(file: FileHandle, size: number) {
    this.#file = file
    this.size = size
  }

  async read(position: number, length: number): Promise<Buffer> {
    const wanted = Math.max(0, Math.min(length, this.size - position))
    const bytes = Buffer.allocUnsafe(wanted)
    let done = 0
    while (done < wanted) {
      const { bytesRead } = await this.#file.read(bytes, done, wanted - done, position + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return bytes.subarray(0, done)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/** Drafts of processes that were killed: nothing is in them. */
async function removeLeftDrafts(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(failed(directory))) {
    if (!name.endsWith(draftSuffix) || !isRecordingName(name.slice(0, -draftSuffix.length))) continue
    const path = join(directory, name)
    const made = await stat(path).catch(() => undefined)
    if (made && Date.now() - made.mtimeMs > draftIsLeftAfter) await rm(path, { force: true })
  }
}

/** So that a name that was made or removed is on the disk. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function failed(path: string): (error: unknown) => never {
  return (error) => {
    throw new Error(`${path}: ${inWords(error)}`)
  }
}

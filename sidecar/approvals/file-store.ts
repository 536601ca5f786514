/**
 * Requests as files of a directory, one YAML file each, which people edit to decide.
 *
 * What holds is the runner's own copy in the folder `.runner`, which nobody else can write to. The files beside
 * it are what people see and write: of them only the decision and its reason are ever taken, so that a forged, an older or
 * a removed file gives nothing, whether the runner is up or not.
 */
import { type BigIntStats, type FSWatcher, lstatSync, statSync, watch } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ApprovalRequest } from '@firebreak/crds'
import { openOwnFolder } from './own-folder.ts'
import { ProcessLock } from './process-lock.ts'
import {
  type FileVersion,
  formatRequest,
  parseRequest,
  readWritten,
  replaceFile,
  sameVersion,
  syncDirectory,
} from './request-file.ts'
import { type ApprovalStore, type Attempt, isFinished } from './store.ts'
import { agentUser, systemUser } from './system-users.ts'

/** Files are looked at this often even if the system tells nothing, as on network file systems. In milliseconds. */
const lookEvery = 1_000
/** A file that is being written is left alone until it has not changed for so long. */
const settlesIn = 50
/** Files of requests that are not open are looked at at most this often. */
const othersEvery = 200
/** Finished requests are kept for people to read, the youngest so many. */
const maximumFinished = 1_000

interface OpenFile {
  /** The version that the runner wrote. */
  written: FileVersion | undefined
  /** A version that is not the runner's, and since when. */
  seen: FileVersion | undefined
  seenAt: number
  /** That version has been told. */
  told: boolean
}

export class FileStore implements ApprovalStore {
  readonly directory: string
  readonly #own: string
  /** Where the runner's copies of finished requests are. */
  readonly #ownFinished: string
  /** Whoever can write to the directory can put another folder there; what is written into that holds nothing. */
  readonly #ownInode: number
  /** For files that approvers read: a directory that a group may enter has approvers in it. */
  readonly #mode: number
  readonly #lock: ProcessLock
  readonly #files = new Map<string, OpenFile>()
  /** Files of requests that are finished, or never were this runner's, in the version that was looked at. */
  readonly #others = new Map<string, FileVersion>()
  #othersAt = 0
  /** The last write of each request. */
  readonly #writes = new Map<string, Promise<void>>()
  readonly #watcher: FSWatcher | undefined
  readonly #timer: NodeJS.Timeout
  #listener: (attempt: Attempt) => void = () => {}
  #soon: NodeJS.Timeout | undefined
  #finished = 0
  #loaded = false

  /** @throws Error when the directory can't be used, with the reason. */
  static async open(directory: string): Promise<FileStore> {
    const own = await openOwnFolder(directory)
    await mkdir(join(own, 'finished'), { recursive: true, mode: 0o700 })
    const shared = statSync(directory)
    if ((shared.mode & 0o002) !== 0)
      throw new Error(`everybody can write to ${directory}: take that right away`)
    const mode = (shared.mode & 0o050) !== 0 ? 0o640 : 0o600
    return new FileStore(directory, own, lstatSync(own).ino, mode, ProcessLock.take(own))
  }

  private constructor(directory: string, own: string, inode: number, mode: number, lock: ProcessLock) {
    this.directory = directory
    this.#own = own
    this.#ownFinished = join(own, 'finished')
    this.#ownInode = inode
    this.#mode = mode
    this.#lock = lock
    this.#watcher = watchQuietly(directory, () => this.#lookSoon(10))
    this.#timer = setInterval(() => this.#look(), lookEvery).unref()
  }

  async load(): Promise<readonly ApprovalRequest[]> {
    const open: ApprovalRequest[] = []
    for (const file of await readdir(this.#own)) {
      if (file.startsWith('.')) await rm(join(this.#own, file), { force: true })
      if (file.startsWith('.') || !file.endsWith('.yaml')) continue
      const parsed = parseRequest(await readFile(join(this.#own, file), 'utf8'))
      if (!parsed.ok) throw new Error(`${join(this.#own, file)} can't be read: ${parsed.error}`)
      // what was written last may not have reached the other file; what people wrote meanwhile is looked at
      if (isFinished(parsed.value)) await this.#finish(parsed.value)
      else open.push(parsed.value)
    }
    for (const request of open) {
      const { name } = request.metadata
      this.#files.set(name, { written: undefined, seen: undefined, seenAt: 0, told: false })
      if (!(await this.#decidedMeanwhile(request))) await this.#show(request)
    }
    this.#loaded = true
    this.#lookSoon(0)
    return open
  }

  /** Without a decision in it, the file may just not have got what was written last. */
  async #decidedMeanwhile({ metadata, spec }: ApprovalRequest): Promise<boolean> {
    try {
      const { text } = await readWritten(this.#path(metadata.name))
      const parsed = parseRequest(text)
      return !parsed.ok || parsed.value.spec.decision !== spec.decision
    } catch {
      return false
    }
  }

  subscribe(listener: (attempt: Attempt) => void): void {
    this.#listener = listener
  }

  isOwn(): boolean {
    return true
  }

  asker(uid: number | undefined): Promise<string | undefined> {
    return agentUser(uid)
  }

  async add(request: ApprovalRequest): Promise<ApprovalRequest> {
    await this.write(request)
    return request
  }

  async use(request: ApprovalRequest): Promise<boolean> {
    await this.write(request)
    return true
  }

  write(request: ApprovalRequest): Promise<void> {
    const { name } = request.metadata
    const before = this.#writes.get(name) ?? Promise.resolve()
    const written = before.catch(() => {}).then(() => this.#write(request))
    this.#writes.set(name, written)
    const forget = (): void => {
      if (this.#writes.get(name) === written) this.#writes.delete(name)
    }
    written.then(forget, forget)
    return written
  }

  async #write(request: ApprovalRequest): Promise<void> {
    const { name } = request.metadata
    if (lstatSync(this.#own).ino !== this.#ownInode)
      throw new Error(`${this.#own} is not the folder that it was; nothing is approved until a restart`)
    await replaceFile(join(this.#own, `${name}.yaml`), formatRequest(request), 0o600)
    if (isFinished(request)) await this.#finish(request)
    else await this.#show(request)
  }

  /** Writes the file that people see. */
  async #show(request: ApprovalRequest): Promise<void> {
    const { name } = request.metadata
    const file: OpenFile = this.#files.get(name) ?? {
      written: undefined,
      seen: undefined,
      seenAt: 0,
      told: false,
    }
    this.#files.set(name, file)
    file.written = await replaceFile(this.#path(name), formatRequest(request), this.#mode)
    file.seen = undefined
  }

  async #finish(request: ApprovalRequest): Promise<void> {
    const { name } = request.metadata
    this.#files.delete(name)
    await replaceFile(this.#path(name), formatRequest(request), this.#mode)
    await rename(join(this.#own, `${name}.yaml`), join(this.#ownFinished, `${name}.yaml`))
    await syncDirectory(this.#own)
    if (this.#finished++ % 100 === 0) await this.#removeOld()
  }

  async #removeOld(): Promise<void> {
    const finished = (await requestFiles(this.directory)).filter((name) => !this.#files.has(name))
    if (finished.length <= maximumFinished) return
    const dated = finished.map((name) => ({ name, at: versionAt(this.#path(name))?.modified ?? 0n }))
    dated.sort((a, b) => (a.at < b.at ? -1 : 1))
    for (const { name } of dated.slice(0, -maximumFinished))
      for (const path of [this.#path(name), join(this.#ownFinished, `${name}.yaml`)])
        await rm(path, { force: true })
  }

  #path(name: string): string {
    return join(this.directory, `${name}.yaml`)
  }

  #lookSoon(milliseconds: number): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      this.#look()
    }, milliseconds).unref()
  }

  /** Finds what is not as the runner wrote it. */
  #look(): void {
    if (!this.#loaded) return
    const now = performance.now()
    for (const [name, file] of this.#files) {
      if (this.#writes.has(name)) continue
      const version = versionAt(this.#path(name)) ?? absent
      if (sameVersion(version, file.written)) continue
      if (!file.seen || !sameVersion(version, file.seen)) {
        file.seen = version
        file.seenAt = now
        file.told = false
      }
      if (file.told) continue
      if (now - file.seenAt < settlesIn) this.#lookSoon(settlesIn)
      else {
        file.told = true
        void this.#tell(name)
      }
    }
    void this.#lookAtOthers(now)
  }

  async #tell(name: string): Promise<void> {
    try {
      const { text, owner, doubt } = await readWritten(this.#path(name))
      const by = await systemUser(owner)
      const parsed = parseRequest(text)
      const problem = parsed.ok ? doubt : parsed.error
      this.#listener({
        name,
        by,
        after: parsed.ok ? parsed.value : undefined,
        ...(problem !== undefined && { problem }),
      })
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      const problem = missing
        ? 'its file was removed'
        : error instanceof Error
          ? error.message
          : String(error)
      this.#listener({ name, by: { user: 'unknown', groups: [] }, after: undefined, problem })
    }
  }

  /** A file that claims to be an open request and is none would mislead people; it never has effect. */
  async #lookAtOthers(now: number): Promise<void> {
    if (now - this.#othersAt < othersEvery) return
    this.#othersAt = now
    try {
      const names = new Set(await requestFiles(this.directory))
      for (const name of this.#others.keys()) if (!names.has(name)) this.#others.delete(name)
      for (const name of names) {
        const version = versionAt(this.#path(name))
        if (this.#files.has(name) || this.#writes.has(name) || !version) continue
        if (sameVersion(this.#others.get(name), version)) continue
        this.#others.set(name, version)
        await this.#lookAtOther(name)
      }
    } catch {
      // it is gone again, or the directory is; the next look tells
    }
  }

  async #lookAtOther(name: string): Promise<void> {
    const { text, owner } = await readWritten(this.#path(name))
    const parsed = parseRequest(text)
    if ((parsed.ok && isFinished(parsed.value)) || this.#files.has(name) || this.#writes.has(name)) return
    const own = await readFile(join(this.#ownFinished, `${name}.yaml`), 'utf8').catch(() => undefined)
    const finished = own === undefined ? undefined : parseRequest(own)
    const by = await systemUser(owner)
    if (own !== undefined && finished?.ok) {
      // somebody was too late
      await replaceFile(this.#path(name), own, this.#mode)
      this.#listener({ name, by, after: parsed.ok ? parsed.value : undefined, finished: finished.value })
      return
    }
    await rm(this.#path(name), { force: true })
    this.#listener({
      name,
      by,
      after: undefined,
      problem: 'it is no request of this runner, and was removed',
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher?.close()
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
    await Promise.allSettled(this.#writes.values())
    this.#lock[Symbol.dispose]()
  }
}

const absent: FileVersion = { inode: 0n, modified: 0n, size: 0n }

function versionAt(path: string): FileVersion | undefined {
  const stats: BigIntStats | undefined = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stats && { inode: stats.ino, modified: stats.mtimeNs, size: stats.size }
}

/** Names of the requests whose files stand in a directory. */
async function requestFiles(directory: string): Promise<string[]> {
  return (await readdir(directory))
    .filter((name) => name.endsWith('.yaml') && !name.startsWith('.'))
    .map((name) => name.slice(0, -'.yaml'.length))
}

function watchQuietly(directory: string, changed: () => void): FSWatcher | undefined {
  try {
    return watch(directory, { persistent: false }, changed).on('error', () => {})
  } catch {
    // without it files are still looked at every second
    return undefined
  }
}

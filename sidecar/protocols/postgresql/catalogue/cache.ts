/** Catalogues shared by all sessions of a role in a database, kept fresh. */
import type { Credential, Result, Target } from '../../../session.ts'
import type { ConnectFailure } from '../handshake/server.ts'
import { buildCatalogue } from './catalogue.ts'
import { ControlConnection } from './control-connection.ts'
import { catalogueQuery, fingerprintQuery, sizesQuery } from './query.ts'
import type { Catalogue, ReadCatalogue } from './types.ts'

/** How often a server in use is asked whether somebody else changed definitions. */
const pollInterval = 5_000
/** Sizes of relations. In milliseconds. */
const sizesHoldFor = 600_000

export class CatalogueCache {
  readonly #open: (signal: AbortSignal) => Promise<Result<ControlConnection, ConnectFailure>>
  #connection: ControlConnection | undefined
  #catalogue: ReadCatalogue | undefined
  #system = ''
  #fingerprint = ''
  #users = 0
  /** Sessions whose definitions may be committed at any moment. */
  #doubts = 0
  #poll: NodeJS.Timeout | undefined
  readonly #watchers = new Set<(catalogue: ReadCatalogue) => void>()
  #sizes: Promise<ReadonlyMap<string, number>> = Promise.resolve(new Map())
  #sizesReadAt = Number.NEGATIVE_INFINITY
  /** The one reader; asks made meanwhile wait for it. */
  #reading: Promise<void> = Promise.resolve()

  constructor(
    target: Target,
    credential: () => Promise<Result<Credential, ConnectFailure>>,
    database: string,
  ) {
    this.#open = async (signal) => {
      const current = await credential()
      return current.ok ? await ControlConnection.open(target, current.value, database, signal) : current
    }
  }

  /** What is known now; undefined until {@link acquire} has succeeded. */
  get current(): Catalogue | undefined {
    return this.#catalogue
  }

  /** The system part, for a session that reads the rest by itself. */
  get system(): string {
    return this.#system
  }

  /** Somebody may be changing definitions: what is known has to be confirmed before it is used. */
  get inDoubt(): boolean {
    return this.#doubts > 0
  }

  /** A session sends something that changes definitions. @returns how it says that they are settled. */
  doubt(): () => void {
    this.#doubts++
    let open = true
    return () => {
      if (open) this.#doubts--
      open = false
    }
  }

  /** Tells of what is known now, and of each change, until it is disposed. */
  watch(watcher: (catalogue: ReadCatalogue) => void): Disposable {
    this.#watchers.add(watcher)
    if (this.#catalogue) watcher(this.#catalogue)
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) }
  }

  /** Keeps the catalogue fresh until {@link release}. */
  async acquire(signal: AbortSignal): Promise<Result<Catalogue, ConnectFailure>> {
    this.#users++
    this.#poll ??= setInterval(() => void this.refresh(), pollInterval).unref()
    const read = await this.#serialized(() => this.#read(signal))
    if (read.ok && this.#catalogue) return { ok: true, value: this.#catalogue }
    this.release()
    return read.ok
      ? { ok: false, error: { code: '08006', message: 'the catalogue could not be read' } }
      : read
  }

  release(): void {
    this.#users--
    if (this.#users > 0) return
    clearInterval(this.#poll)
    this.#poll = undefined
    this.#connection?.[Symbol.dispose]()
    this.#connection = undefined
    // what changes while nobody looks would go unseen
    this.#fingerprint = ''
  }

  /** Reads again if anything has changed on the server. A failure keeps what is known; the next poll tries again. */
  async refresh(): Promise<void> {
    await this.#serialized(() => this.#read(AbortSignal.timeout(pollInterval)))
  }

  /** About how many rows there are in a relation, as of some minutes ago; undefined where the server has not counted them yet. */
  async sizeOf(name: string): Promise<number | undefined> {
    if (performance.now() - this.#sizesReadAt > sizesHoldFor) {
      this.#sizesReadAt = performance.now()
      this.#sizes = this.#serialized(() => this.#readSizes())
    }
    return (await this.#sizes).get(name)
  }

  async #readSizes(): Promise<ReadonlyMap<string, number>> {
    try {
      const text = (await this.#connection?.value(sizesQuery)) ?? '[]'
      return new Map(JSON.parse(text) as [string, number][])
    } catch {
      return new Map()
    }
  }

  async #serialized<Value>(work: () => Promise<Value>): Promise<Value> {
    const result = this.#reading.then(work)
    this.#reading = result.then(
      () => {},
      () => {},
    )
    return await result
  }

  async #read(signal: AbortSignal): Promise<Result<void, ConnectFailure>> {
    try {
      if (!this.#connection || this.#connection.closed) {
        const opened = await this.#open(signal)
        if (!opened.ok) return opened
        this.#connection = opened.value
      }
      const fingerprint = await this.#connection.value(fingerprintQuery)
      if (fingerprint !== this.#fingerprint || !this.#catalogue) {
        this.#system ||= await this.#connection.value(catalogueQuery('system'))
        this.#catalogue = buildCatalogue(this.#system, await this.#connection.value(catalogueQuery('user')))
        this.#fingerprint = fingerprint
        for (const watcher of this.#watchers) watcher(this.#catalogue)
      }
      return { ok: true, value: undefined }
    } catch (error) {
      this.#connection?.[Symbol.dispose]()
      this.#connection = undefined
      return {
        ok: false,
        error: {
          code: '08006',
          message: `the catalogue could not be read: ${error instanceof Error ? error.message : String(error)}`,
        },
      }
    }
  }
}

/** Events: what `kubectl describe` tells of an object's past. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { type Event, events, type KubernetesObject } from '../kubernetes/objects.ts'

/** What happened to an object. */
export interface Happening {
  readonly type: 'Normal' | 'Warning'
  /** CamelCase, for machines. */
  readonly reason: string
  /** What was done when it came out, CamelCase. */
  readonly action: string
  /** For a person. */
  readonly note: string
}

export type Regarded = KubernetesObject & { readonly apiVersion: string; readonly kind: string }

export interface Recorder {
  /** Returns at once: whoever reconciles never waits for an Event, and never fails by one. */
  record(regarding: Regarded, happening: Happening): void
}

export interface RecorderOptions {
  /** This replica's name. */
  readonly replica: string
  /** An Event could not be written, and is lost. */
  readonly lost: (error: Error) => void
}

/** The same again within that time is one Event that counts, as in client-go. In milliseconds. */
const seriesLasts = 360_000
/** Of one type about one object; then one every `refillEvery`, as in client-go. In milliseconds. */
const burst = 25
const refillEvery = 300_000
/** Series and objects that are remembered, and at most as many wait to be written. */
const remembered = 4096
/** Between two writes: a change that all agents notice must not take the API server's time from what matters. */
const writeEvery = 50
/** The API server takes no more. In bytes. */
const longestNote = 1024

interface Series {
  readonly regarding: Regarded
  readonly happening: Happening
  readonly firstAt: number
  lastAt: number
  count: number
  /** Of the Event, once it is written. */
  name?: string
}

interface Budget {
  left: number
  at: number
}

export class EventRecorder implements Recorder, AsyncDisposable {
  readonly #client: KubernetesClient
  readonly #options: RecorderOptions
  readonly #series = new Map<string, Series>()
  readonly #budgets = new Map<string, Budget>()
  readonly #unwritten = new Set<Series>()
  readonly #ended = new AbortController()
  #writing: Promise<void> | undefined

  constructor(client: KubernetesClient, options: RecorderOptions) {
    this.#client = client
    this.#options = options
  }

  record(regarding: Regarded, happening: Happening): void {
    if (this.#ended.signal.aborted) return
    const { type, reason, action, note } = happening
    const now = Date.now()
    if (!this.#spend(`${regarding.metadata.uid} ${type}`, now)) return
    const key = JSON.stringify([regarding.metadata.uid, type, reason, action, note])
    const known = this.#series.get(key)
    const series =
      known && now - known.lastAt < seriesLasts
        ? known
        : { regarding, happening, firstAt: now, lastAt: now, count: 0 }
    series.lastAt = now
    series.count++
    remember(this.#series, key, series)
    if (this.#unwritten.size < remembered) this.#unwritten.add(series)
    this.#writing ??= this.#writeAll()
  }

  /** What is being written is finished; the rest is lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#writing
  }

  /** @returns whether something more may be said. Normal Events never take a Warning's place. */
  #spend(key: string, now: number): boolean {
    const { left, at } = this.#budgets.get(key) ?? { left: burst, at: now }
    const refilled = Math.min(burst, left + Math.max(0, now - at) / refillEvery)
    const allowed = refilled >= 1
    remember(this.#budgets, key, { left: allowed ? refilled - 1 : refilled, at: now })
    return allowed
  }

  async #writeAll(): Promise<void> {
    const { signal } = this.#ended
    for (const series of this.#unwritten) {
      this.#unwritten.delete(series)
      if (signal.aborted) continue
      await this.#write(series).catch(this.#options.lost)
      await delay(writeEvery, undefined, { signal }).catch(() => {})
    }
    this.#writing = undefined
  }

  async #write(series: Series): Promise<void> {
    const { namespace } = series.regarding.metadata
    if (series.name !== undefined)
      try {
        await this.#client.merge(events, series.name, namespace, { series: countOf(series) })
        return
      } catch (error) {
        // the API server forgets Events after a while
        if (!(error instanceof ApiError && error.status === 404)) throw error
      }
    const event = eventOf(series, this.#options.replica)
    await this.#client.create(events, event)
    series.name = event.metadata.name
  }
}

function eventOf(series: Series, replica: string): Event {
  const { regarding, happening, firstAt, count } = series
  const { name, namespace, uid, resourceVersion } = regarding.metadata
  return {
    metadata: {
      name: `${name.slice(0, 230)}.${randomBytes(8).toString('hex')}`,
      ...(namespace !== undefined && { namespace }),
    },
    ...happening,
    note: cut(happening.note),
    eventTime: microTime(firstAt),
    reportingController: 'firebreak.dev/operator',
    reportingInstance: replica.slice(0, 128),
    regarding: {
      apiVersion: regarding.apiVersion,
      kind: regarding.kind,
      name,
      ...(namespace !== undefined && { namespace }),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    },
    ...(count > 1 && { series: countOf(series) }),
  }
}

function countOf({ count, lastAt }: Series): NonNullable<Event['series']> {
  return { count, lastObservedTime: microTime(lastAt) }
}

function microTime(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, -1)}000Z`
}

function cut(note: string): string {
  const bytes = Buffer.from(note)
  if (bytes.length <= longestNote) return note
  // a character that is cut through is left out
  const text = new TextDecoder().decode(bytes.subarray(0, longestNote - 3), { stream: true })
  return `${text}…`
}

/** As the newest; the oldest is forgotten. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= remembered) return
    map.delete(oldest)
  }
}

/**
 * Tells the other replicas what this replica's sidecars have acknowledged, and hears it from them: each replica writes
 * one ConfigMap. docs/decisions/xds.md says why.
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import { managed } from '../containment/names.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { configMaps } from '../kubernetes/objects.ts'
import { Informer } from '../watch/informer.ts'
import type { AcknowledgementLedger, PodAcknowledgement, PodAcknowledgements } from './acknowledgements.ts'

const label = 'firebreak.dev/acknowledgements'
const writtenAtAnnotation = 'firebreak.dev/written-at'
/** Answers to one change come in together: at most one write in that time. In milliseconds. */
const writeEvery = 500
/** A replica that hasn't written for longer, by our own clock, is gone, and its sidecars are with others. */
const lapsesAfter = 30_000

export interface ReplicaOptions {
  /** Of the operator. */
  readonly namespace: string
  /** This replica's name. */
  readonly replica: string
  readonly failed: (error: Error) => void
}

export class Replicas implements AsyncDisposable {
  readonly #client: KubernetesClient
  readonly #ledger: AcknowledgementLedger
  readonly #options: ReplicaOptions
  readonly #informer: Informer<(typeof configMaps)['object']>
  readonly #seen = new Map<string, number>()
  readonly #looking: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  #writtenAt = 0

  constructor(client: KubernetesClient, ledger: AcknowledgementLedger, options: ReplicaOptions) {
    const { namespace, failed } = options
    this.#client = client
    this.#ledger = ledger
    this.#options = options
    this.#informer = new Informer(
      client,
      configMaps,
      { failed },
      { namespace, labelSelector: `${label}=true` },
    )
    this.#informer.onChange((key, now) => {
      if (key === `${namespace}/${this.#name}`) return
      this.#seen.set(key, performance.now())
      if (!now) this.#seen.delete(key)
      this.#ledger.told(key, now && acknowledgementsIn(now))
    })
    ledger.changes.onKeys(() => this.#writeSoon())
    this.#writeSoon()
    this.#looking = setInterval(() => this.#look(), lapsesAfter / 6).unref()
  }

  /** Resolves when it is known what other replicas have told. */
  get synced(): Promise<void> {
    return this.#informer.synced
  }

  /** What was told stays for a while: the sidecars are on their way to other replicas. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#looking)
    clearTimeout(this.#timer)
    this.#informer[Symbol.dispose]()
    await this.#writing
  }

  get #name(): string {
    return `firebreak-acknowledgements-${this.#options.replica}`
  }

  #look(): void {
    const now = performance.now()
    if (now - this.#writtenAt > lapsesAfter / 3) this.#writeSoon()
    for (const [key, seenAt] of this.#seen) {
      if (now - seenAt <= lapsesAfter) continue
      this.#seen.delete(key)
      this.#ledger.told(key, undefined)
      const [namespace, name = ''] = key.split('/')
      this.#client.delete(configMaps, name, namespace).catch(this.#options.failed)
    }
  }

  #writeSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write()
    }, writeEvery).unref()
  }

  async #write(): Promise<void> {
    const { namespace, failed } = this.#options
    this.#writtenAt = performance.now()
    try {
      await this.#client.apply(configMaps, {
        metadata: {
          name: this.#name,
          namespace,
          labels: { ...managed, [label]: 'true' },
          annotations: { [writtenAtAnnotation]: new Date().toISOString() },
        },
        binaryData: { pods: packed(this.#ledger.own()) },
      })
    } catch (error) {
      failed(error instanceof Error ? error : new Error(String(error)))
      this.#writeSoon()
    }
  }
}

function packed(pods: PodAcknowledgements): string {
  return gzipSync(JSON.stringify([...pods])).toString('base64')
}

function acknowledgementsIn({ binaryData }: (typeof configMaps)['object']): PodAcknowledgements {
  try {
    const text = gunzipSync(Buffer.from(binaryData?.pods ?? '', 'base64')).toString()
    return new Map(JSON.parse(text) as [string, PodAcknowledgement][])
  } catch {
    // of another version: its sidecars are told of again when they come to us
    return new Map()
  }
}

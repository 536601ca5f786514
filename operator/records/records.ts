/** Where the records of all agents go, with what their sidecars open it, and in whose name each agent's are signed. */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { QualifiedName } from '@firebreak/policy'
import type { ReceiverTarget } from '@firebreak/sidecar/audit/target.ts'
import type { SentRecordings, SentRecords } from '@firebreak/sidecar/control/records.ts'
import { nameOfSigner } from '@firebreak/sidecar/recording/header.ts'
import type { RecordingTarget } from '@firebreak/sidecar/recording/target.ts'
import { vouch } from '@firebreak/sidecar/recording/voucher.ts'
import type { TraceTarget } from '@firebreak/sidecar/traces/target.ts'
import type { Key } from '../watch/informer.ts'
import { packed } from './authority.ts'

/** What whoever runs the platform says, with what is in the files that they name. */
export interface RecordTargets {
  /** Absent: nowhere, and sessions that policies want recorded are refused. */
  readonly recordings?:
    | {
        readonly target: Exclude<RecordingTarget, { kind: 'directory' }>
        /** Who can read: public keys of age; at least one. */
        readonly recipients: readonly string[]
        /** Who can see what masks hid. */
        readonly unmaskedRecipients: readonly string[]
      }
    | undefined
  /** The same place, with what lists, reads and deletes there: for the operator itself. Absent: it deletes nothing. */
  readonly retention?: RecordingTarget | undefined
  readonly audit: readonly ReceiverTarget[]
  /** Absent: nothing is traced. */
  readonly traces?: TraceTarget | undefined
}

/** Somewhere that sidecars connect to. */
export interface Destination {
  /** Name or address. */
  readonly host: string
  readonly port: number
}

/** So often is looked whether credentials were changed. In milliseconds. */
const lookEvery = 10_000

export class Records implements Disposable {
  readonly #authority: KeyObject
  readonly #read: () => RecordTargets
  readonly #failed: (error: Error) => void
  readonly #listeners = new Set<() => void>()
  readonly #looking: NodeJS.Timeout
  readonly #signers = new Map<Key, Pick<SentRecordings, 'signer' | 'voucher'>>()
  #targets: RecordTargets
  #version: string

  /**
   * @param authority vouches for the keys that sign recordings.
   * @param read is asked again and again: what is in files changes. @param failed told when it throws; what was read last stays.
   * @throws what `read` throws.
   */
  constructor(authority: KeyObject, read: () => RecordTargets, failed: (error: Error) => void) {
    this.#authority = authority
    this.#read = read
    this.#failed = failed
    this.#targets = read()
    this.#version = this.#versionOf(this.#targets)
    this.#looking = setInterval(() => this.#look(), lookEvery).unref()
  }

  /** Changes with all that sidecars are sent of it, and says nothing of secrets to who doesn't know the authority's key. */
  get version(): string {
    return this.#version
  }

  get targets(): RecordTargets {
    return this.#targets
  }

  /** The public key by which recordings are verified, 32 bytes in base64url. */
  get authority(): string {
    return nameOfSigner(this.#authority)
  }

  get destinations(): readonly Destination[] {
    const { recordings, audit, traces } = this.#targets
    const urls = [...audit, ...(traces ? [traces] : [])].map(({ url }) => url)
    return [...(recordings ? [destinationOf(recordings.target)] : []), ...urls.map(atUrl)]
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener)
  }

  /** What this agent's sidecars are sent. */
  for(agent: Key): SentRecords {
    const { recordings, audit, traces } = this.#targets
    return {
      audit,
      ...(traces && { traces }),
      ...(recordings && { recordings: { ...recordings, ...this.#signerOf(agent) } }),
    }
  }

  /** @param agent is gone: its key signs no more. */
  forget(agent: Key): void {
    this.#signers.delete(agent)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#looking)
  }

  /** The key lives in memory, here and in the agent's sidecars; every replica vouches for one of its own. */
  #signerOf(agent: Key): Pick<SentRecordings, 'signer' | 'voucher'> {
    const known = this.#signers.get(agent)
    if (known) return known
    const { privateKey } = generateKeyPairSync('ed25519')
    const voucher = vouch(this.#authority, nameOfSigner(privateKey), agent as QualifiedName)
    const signer = { signer: packed(privateKey), voucher }
    this.#signers.set(agent, signer)
    return signer
  }

  #look(): void {
    try {
      const targets = this.#read()
      const version = this.#versionOf(targets)
      if (version === this.#version) return
      this.#targets = targets
      this.#version = version
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error(String(error)))
      return
    }
    for (const listener of this.#listeners) listener()
  }

  #versionOf(targets: RecordTargets): string {
    return createHmac('sha256', packed(this.#authority))
      .update(JSON.stringify(targets))
      .digest('hex')
      .slice(0, 12)
  }
}

const schemePorts: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 }

function atUrl(url: string): Destination {
  const { protocol, hostname, port } = new URL(url)
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || (schemePorts[protocol] ?? 5432)),
  }
}

function destinationOf(target: NonNullable<RecordTargets['recordings']>['target']): Destination {
  if (target.kind === 'postgresql') return atUrl(target.url)
  const { endpoint, region } = target
  return atUrl(endpoint ?? `https://s3.${region ?? 'us-east-1'}.amazonaws.com`)
}

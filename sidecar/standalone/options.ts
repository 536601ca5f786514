/** What the sidecar is started with where there is no cluster, and what it says while it runs. */
import type { ManifestProblem } from '@firebreak/crds'
import type { ResourceType } from '@firebreak/policy'
import type { AuditTarget } from '../audit/target.ts'
import type { Clock } from '../clock.ts'
import type { ClassificationDoubt } from '../configuration/classified.ts'
import type { AuditEvent, TraceEvent } from '../guarding.ts'
import type { Address } from '../listen/listener.ts'
import type { RecordingPlaceEvent } from '../recording/guarded-place.ts'
import type { RecordingTarget } from '../recording/target.ts'
import type { TraceTarget } from '../traces/target.ts'

export interface StandaloneOptions {
  readonly directory: string
  /** Where the audit lines go, to each of them. */
  readonly audit: readonly AuditTarget[]
  /** By resource name. Others listen on loopback, on the protocol's own port or the next free one. */
  readonly listen?: ReadonlyMap<string, Address>
  /** Which identity the loopback listeners stand for, where several could be meant. */
  readonly identity?: string | undefined
  /** Certificate and key (PEM) for clients that ask for TLS. */
  readonly clientTls?: { readonly certificate: string; readonly key: string } | undefined
  /** Where agents ask the sidecar itself, on loopback. Absent: port 4780, or the next free one. */
  readonly api?: Address | undefined
  /** Where approval requests are kept, and the socket of the local API. Absent: `approvals` in the directory. */
  readonly stateDirectory?: string | undefined
  /** Users of the system that agents run as: they can't approve. */
  readonly agentUsers?: readonly string[] | undefined
  /** A webhook that is told of approval requests, and the secret that it is signed with. */
  readonly notify?: { readonly url: string; readonly secret: string } | undefined
  /** Where sessions are recorded that policies want recorded. Absent: `recordings` beside the requests. */
  readonly recordings?: RecordingTarget | undefined
  /** Who can read the recordings, as age writes public keys. Absent: whoever has the key that is made for them. */
  readonly recordingRecipients?: readonly string[] | undefined
  /** Who can see what masks hid, where policies want it recorded: public keys of age. */
  readonly unmaskedRecipients?: readonly string[] | undefined
  /** Where Prometheus finds the metrics, at /metrics. Absent: nothing is counted. */
  readonly metrics?: Address | undefined
  /** Where traces go. Absent: nothing is traced. */
  readonly traces?: TraceTarget | undefined
  /** Absent: the machine's. */
  readonly clock?: Clock | undefined
  readonly onEvent: (event: StandaloneEvent) => void
}

export type StandaloneEvent =
  | {
      readonly kind: 'listening'
      readonly resource: string
      readonly type: ResourceType
      readonly address: Address
      readonly database?: string | undefined
    }
  | { readonly kind: 'unsupported'; readonly resource: string; readonly type: ResourceType }
  /** Several identities need nothing but to reach the listener: nobody is let in by it until one is chosen. */
  | { readonly kind: 'ambiguous'; readonly resource: string; readonly identities: readonly string[] }
  | { readonly kind: 'applied'; readonly revision: string; readonly problems: readonly ManifestProblem[] }
  | { readonly kind: 'refused'; readonly problems: readonly ManifestProblem[]; readonly revision: string }
  /** A policy asks people, and they can be asked. */
  | { readonly kind: 'approvals'; readonly directory: string; readonly anybody: boolean }
  /** Commands that need approval are refused until it is put right. */
  | { readonly kind: 'approvalsFailed'; readonly message: string }
  /** Agents may ask the sidecar itself, here. */
  | { readonly kind: 'api'; readonly address: Address; readonly socket: string }
  | { readonly kind: 'apiFailed'; readonly message: string }
  | AuditEvent
  | { readonly kind: 'metrics'; readonly address: Address }
  | TraceEvent
  | RecordingPlaceEvent
  /** What was learned of identities can't be read or kept: what is usual for them is learned anew. */
  | { readonly kind: 'signalsFailed'; readonly message: string }
  /** For an identity whose tokens the sidecar gets itself; of several failures in a row the first. */
  | { readonly kind: 'tokenFailed'; readonly identity: string; readonly message: string }
  /** What a resource classifies and does not have: what is meant passes unmasked, or will, once it is there. */
  | { readonly kind: 'classifiesNothing'; readonly doubt: ClassificationDoubt }

/** What the enforcer of a pod is started with, and what it says while it runs. */
import type { AuditTarget } from '../audit/target.ts'
import type { ContainmentOptions } from '../containment/containment.ts'
import type { AuditEvent, TraceEvent } from '../guarding.ts'
import type { Address } from '../listen/listener.ts'
import type { RecordingPlaceEvent } from '../recording/guarded-place.ts'
import type { ControlAddress } from './stream.ts'

export interface ControlledOptions {
  readonly control: ControlAddress
  /** Where this pod's Envoy finds its sockets; nobody else may get at it. */
  readonly runDirectory: string
  /** Where the agent's clients find their files; it can't write there. */
  readonly clientDirectory: string
  readonly readyPort: number
  /** Where agents ask the sidecar itself. */
  readonly api: Address
  /** By the name of the resource. */
  readonly listen: ReadonlyMap<string, Address>
  /** Of this pod. */
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string }
  /** Absent: the port of the rules in the pod. */
  readonly dns?: ContainmentOptions['dns']
  /** Where the audit lines go, to each of them, besides the sinks elsewhere that the operator names. */
  readonly audit: readonly AuditTarget[]
  /** Where lines are kept that these have not got yet; nobody else may get at it. */
  readonly spoolDirectory: string
  readonly onEvent: (event: ControlledEvent) => void
}

export type ControlledEvent =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'connected' }
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'applied'; readonly revision: string }
  /** What was in force stays. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The agent is none any more: everything is refused. */
  | { readonly kind: 'removed' }
  | { readonly kind: 'listening'; readonly resource: string; readonly address: Address }
  | { readonly kind: 'listenFailed'; readonly resource: string; readonly message: string }
  | { readonly kind: 'unsupported'; readonly resource: string; readonly type: string }
  /** Agents may ask the sidecar itself, here. */
  | { readonly kind: 'api'; readonly address: Address }
  | { readonly kind: 'apiFailed'; readonly message: string }
  | AuditEvent
  | RecordingPlaceEvent
  | TraceEvent

/** What a set of manifests holds, and what may be wrong with it. */
import type {
  AgentIdentity,
  ApprovalRequest,
  GuardrailPolicy,
  ObjectMeta,
  ProtectedResource,
} from './generated/types.ts'

/** A `v1` Secret beside our own kinds, so that a directory can stand by itself. */
export interface Secret {
  apiVersion: 'v1'
  kind: 'Secret'
  metadata: ObjectMeta
  /** Decoded: `data` and `stringData` together. */
  data: Record<string, string>
}

export type Manifest = AgentIdentity | ApprovalRequest | GuardrailPolicy | ProtectedResource | Secret

export interface ManifestSet {
  readonly identities: readonly AgentIdentity[]
  readonly resources: readonly ProtectedResource[]
  readonly policies: readonly GuardrailPolicy[]
  readonly approvals: readonly ApprovalRequest[]
  readonly secrets: readonly Secret[]
}

/** Where in which file. Lines and columns count from 1; both are 0 where the file itself is the problem. */
export interface Location {
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface ManifestProblem {
  /** A warning does not keep the set from being used. */
  readonly severity: 'error' | 'warning'
  readonly location: Location
  /** `AgentIdentity agents/support-bot`, as far as it is known. */
  readonly object: string
  /** Path of the field, as in `spec.rules[0].effect`; empty when it is about the whole object. */
  readonly field: string
  /** What is wrong, what was expected, and a near match where there is one. */
  readonly message: string
  /** The line of the file, to show with a caret under the column. */
  readonly source: string
}

/** What verify has found out, and what it says about it. */

/** What is looked at. */
export type CheckName =
  /** A pod of the agent gets its sidecars. */
  | 'Injection'
  /** The agent gets a session by way of its sidecar. */
  | 'GuardedAccess'
  /** An agent's pod reaches nothing past its sidecar. */
  | 'DirectAccess'
  /** The network plugin keeps in what slipped through admission. */
  | 'Egress'
  /** The network plugin keeps pods without sidecars from the resource. */
  | 'Ingress'

export type Outcome =
  | 'proven'
  | 'failed'
  /** It could not be tried. */
  | 'unknown'
  /** There is nothing to prove. */
  | 'notApplicable'

export interface Check {
  readonly namespace: string
  readonly kind: 'AgentIdentity' | 'ProtectedResource'
  readonly name: string
  readonly check: CheckName
  readonly outcome: Outcome
  readonly message: string
  /** The ProtectedResource that it says something about; absent when about all that the agent may use. */
  readonly resource?: string
  /** It failed although the generated NetworkPolicy is there. */
  readonly ignoredByNetworkPlugin?: boolean
}

/** Why a round of a probe, or all of them, is not as it should be. */
export interface Objection {
  readonly outcome: 'failed' | 'unknown'
  readonly message: string
}

export function isProven(checks: readonly Check[]): boolean {
  return (
    checks.some(({ outcome }) => outcome === 'proven') &&
    checks.every(({ outcome }) => outcome === 'proven' || outcome === 'notApplicable')
  )
}

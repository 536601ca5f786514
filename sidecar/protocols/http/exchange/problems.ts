/** What a client hears when the gateway answers instead of the target: https://www.rfc-editor.org/rfc/rfc9457 */
import { type Decision, describeDecision } from '@firebreak/policy'
import type { HoldOutcome, LimitReached, Refusal } from '../../../session.ts'

/** Short and for machines; stands at the end of the problem's type. */
type ProblemKind =
  | 'malformed'
  | 'unknown-session'
  | 'unauthenticated'
  | 'denied'
  | 'not-approved'
  | 'limit'
  | 'conflict'
  | 'too-large'
  | 'withheld'
  | 'unavailable'
  | 'too-slow'

export interface Problem {
  readonly kind: ProblemKind
  readonly status: number
  readonly detail: string
  readonly hint?: string | undefined
  /** Finds the matching audit line. */
  readonly reference: string
  readonly policy?: string | undefined
  readonly rule?: string | undefined
  /** Name of the request for approval. */
  readonly approval?: string | undefined
  /** Nothing more can be read from the client. */
  readonly closes?: boolean
}

const titles: Readonly<Record<ProblemKind, string>> = {
  malformed: 'The request can be read in more than one way',
  'unknown-session': 'There is no such session',
  unauthenticated: 'The gateway does not know who asks',
  denied: 'Denied by policy',
  'not-approved': 'Not approved',
  limit: 'A limit of the policy is reached',
  conflict: 'Something has changed meanwhile',
  'too-large': 'The request is too large to be decided',
  withheld: 'The response was withheld',
  unavailable: 'The target can not be reached',
  'too-slow': 'It took longer than policy allows',
}

/** What the gateway says, in a form that clients of an API read. */
export interface Said {
  /** Where it isn't that of the problem. */
  readonly status?: number
  readonly contentType: string
  /** Instead of those that go with the problem. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type Say = (problem: Problem) => Said

/** https://www.rfc-editor.org/rfc/rfc9457 */
export const sayProblem: Say = (problem) => ({
  contentType: 'application/problem+json',
  body: problemBody(problem),
})

export function problemBody({
  kind,
  status,
  detail,
  hint,
  reference,
  policy,
  rule,
  approval,
}: Problem): Buffer {
  return Buffer.from(
    JSON.stringify({
      type: `https://firebreak.dev/problems/${kind}`,
      title: titles[kind],
      status,
      detail,
      hint,
      reference,
      policy,
      rule,
      approval,
    }),
  )
}

const refusals = {
  unauthenticated: { kind: 'unauthenticated', status: 401 },
  forbidden: { kind: 'denied', status: 403 },
  unavailable: { kind: 'unavailable', status: 503 },
  expired: { kind: 'unauthenticated', status: 401 },
} as const

export function refusedSession({ code, message, hint, reference }: Refusal): Problem {
  return { ...refusals[code], detail: message, hint, reference }
}

/** Nothing has gone out: the role's credential can't be had, or not what the target takes for it. */
export function noCredential({ message }: Refusal, reference: string): Problem {
  const hint = 'Check the role of the ProtectedResource: its credential, and spec.http.authentication.'
  return { kind: 'unavailable', status: 502, detail: message, hint, reference }
}

export function refusedCommand(decision: Decision, reference: string): Problem {
  const { rule, reason, hint } = decision
  const detail = rule ? `${describeDecision(decision)}: ${reason}` : `denied: ${reason}`
  return { kind: 'denied', status: 403, detail, hint, reference, policy: rule?.policy, rule: rule?.rule }
}

export function notApproved(
  decision: Decision,
  { message, hint, request }: Extract<HoldOutcome, { kind: 'refused' }>,
  reference: string,
): Problem {
  const { rule } = decision
  return {
    kind: 'not-approved',
    status: 403,
    detail: `${message} (${describeDecision(decision)}: ${decision.reason})`,
    hint: hint ?? decision.hint,
    reference,
    policy: rule?.policy,
    rule: rule?.rule,
    approval: request,
  }
}

export function limitReached({ message }: LimitReached, reference: string): Problem {
  return { kind: 'limit', status: 429, detail: message, reference }
}

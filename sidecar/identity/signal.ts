/** What is worth an alert when somebody is not who it says to be. */
import type { Notices } from '../audit/lines.ts'
import type { Rejection, TokenProblem } from './proof.ts'

/** Whose time is over, or has not come: an honest agent shows such a token again and again, until it has another. */
const late: ReadonlySet<string> = new Set<TokenProblem>(['expired', 'notYetValid', 'tooOld', 'ended'])

/** What else happens to an honest agent. */
const ordinary: ReadonlySet<TokenProblem> = new Set(['ambiguous', 'otherSidecar'])

export function isLate(problem: string | undefined): boolean {
  return problem !== undefined && late.has(problem)
}

const kinds: Readonly<Partial<Record<TokenProblem, string>>> = {
  parentsToken: 'childActsAsParent',
  beyondScope: 'delegationMisuse',
}

/** @param where what else is known of the client. */
export function misuseSignal(
  { misuse, chain, identity, message }: Rejection,
  where: Pick<Notices['signal'], 'reference' | 'resource' | 'remote'>,
): Notices['signal'] | undefined {
  if (misuse === undefined) return undefined
  return {
    kind: kinds[misuse] ?? 'tokenMisuse',
    severity: isLate(misuse) || ordinary.has(misuse) ? 'low' : 'high',
    problem: misuse,
    ...where,
    ...(identity !== undefined && { identity }),
    ...(chain && { chain }),
    explanation: `A client was refused: ${message}.`,
  }
}

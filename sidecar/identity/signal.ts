/** What is worth an alert when somebody is not who it says to be. */
import type { Notices } from '../audit/lines.ts'
import type { Rejection, TokenProblem } from './proof.ts'

/** What also happens to an honest agent whose clock or token is old. */
const ordinary: ReadonlySet<TokenProblem> = new Set([
  'expired',
  'notYetValid',
  'tooOld',
  'ambiguous',
  'otherSidecar',
  'ended',
])

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
    severity: ordinary.has(misuse) ? 'low' : 'high',
    ...where,
    ...(identity !== undefined && { identity }),
    ...(chain && { chain }),
    explanation: `A client was refused: ${message}.`,
  }
}

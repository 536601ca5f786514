/** Whether what has begun may go on when something else is in force than at its beginning. */
import { isDeepStrictEqual } from 'node:util'
import type { SessionTerms } from '@firebreak/policy'
import { Ended } from './ended.ts'
import { masksChanged } from './inspection.ts'
import { notApproved, refusedCommand } from './problems.ts'
import type { CommandRun } from './run.ts'

/**
 * @param before under which it began.
 * @returns why it ends; undefined where it is still allowed, and all that it shows is shown as it was.
 */
export function overtaken(run: CommandRun, before: SessionTerms): Ended | undefined {
  const { session, command, worst, reference } = run
  const decision = session.decide(command)
  if (decision.effect === 'deny') return new Ended(refusedCommand(run.told(decision), reference))
  if (decision.effect === 'hold' && !run.permits?.([command])) {
    const refused = { kind: 'refused', message: 'the policy has changed meanwhile' } as const
    return new Ended(notApproved(run.told(decision), refused, reference))
  }
  const most = worst && session.decide(worst)
  if (most && most.effect !== 'allow') {
    const refused = { kind: 'refused', message: 'the policy has changed meanwhile; ask again' } as const
    return new Ended(notApproved(most, refused, reference))
  }
  if (!showsOtherwise(run, before)) return undefined
  const detail = 'the rest was withheld: what has to be masked in it has changed meanwhile'
  return new Ended({ kind: 'withheld', status: 502, detail, hint: 'Ask again.', reference })
}

function showsOtherwise(run: CommandRun, before: SessionTerms): boolean {
  const { masks, detectors } = run.session.terms
  if (!isDeepStrictEqual(detectors, before.detectors)) return true
  return masks && (!before.masks || masksChanged(run))
}

/** Whether a line may go to a shell: decided, held and recorded as a command of its own. */
import type { HoldOutcome } from '../../../session.ts'
import { limitReached, notApproved, type Problem, refusedCommand } from '../../http/exchange/problems.ts'
import { CommandRun } from '../../http/exchange/run.ts'
import type { ShellLine } from '../analysis/lines.ts'

export interface LineTerms {
  /** The exec that the line is for. */
  readonly run: CommandRun
  readonly signal: AbortSignal
  /** Says something to who waits for the line. */
  readonly tell: (message: string) => void
}

/** @returns why it may not go; undefined where it goes now. Its audit line is written. */
export async function decideLine(line: ShellLine, terms: LineTerms): Promise<Problem | undefined> {
  const { session, kind } = terms.run
  const { command } = line
  const own = new CommandRun(session, command, session.decide(command), performance.now(), kind)
  const problem = await refusalOf(own, line, terms)
  own.sent = problem === undefined
  own.finish(problem && { code: problem.kind, message: problem.detail })
  return problem
}

async function refusalOf(own: CommandRun, line: ShellLine, terms: LineTerms): Promise<Problem | undefined> {
  const { session, reference, command } = own
  if (own.decision.effect === 'deny') return refusedCommand(own.decision, reference)
  if (own.decision.effect === 'hold') {
    const outcome = await ask(own, line, terms)
    own.approval = outcome.request ?? own.approval
    if (outcome.kind === 'refused') return notApproved(own.decision, outcome, reference)
    own.decision = session.decide(command)
    if (own.decision.effect === 'deny') return refusedCommand(own.decision, reference)
    if (!outcome.permits([command]))
      return notApproved(
        own.decision,
        { kind: 'refused', message: 'the policy has changed meanwhile' },
        reference,
      )
  }
  if (terms.signal.aborted)
    return notApproved(own.decision, { kind: 'refused', message: 'its client has gone' }, reference)
  const limit = session.admit()
  return limit && limitReached(limit, reference)
}

async function ask(own: CommandRun, line: ShellLine, { run, signal, tell }: LineTerms): Promise<HoldOutcome> {
  try {
    return await own.session.hold({
      commands: [own.command],
      statement: line.bytes,
      text: line.command.text,
      parameters: [],
      context: [run.command.text],
      reference: own.reference,
      signal,
      onAsked: (request, message) => {
        own.approval = request
        tell(message)
      },
    })
  } catch {
    // a bug of ours: nobody must wait for ever, and nothing may run
    return { kind: 'refused', message: 'people could not be asked' }
  }
}

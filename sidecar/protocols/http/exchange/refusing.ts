/** Requests that go no further: what their client hears, and their line. */
import type { Command, Decision } from '@firebreak/policy'
import type { GuardedSession } from '../../../session.ts'
import type { ParsedHead } from '../head/head.ts'
import { type ApiKind, answer, type ClientResponse, isGone, type RefusedRequest } from './client.ts'
import type { Problem } from './problems.ts'
import { CommandRun } from './run.ts'

/** Whoever sends what can be read in two ways is known by now, and so is what it sent. @param sent of its body. */
export function refuseMalformed(
  { request, response }: { readonly request: ParsedHead; readonly response: ClientResponse },
  session: GuardedSession,
  problem: RefusedRequest,
  receivedAt: number,
  kind: ApiKind,
  sent?: Buffer,
): void {
  const command: Command = {
    resourceType: kind.type,
    text: `${request.method} ${request.url}`,
    touches: [],
    opaque: [problem.message],
    fields: [],
    indirectUses: [],
    facts: {},
  }
  const decision: Decision = {
    effect: 'deny',
    reason: problem.message,
    matched: [],
    alerts: [],
    touchesMasked: false,
    revision: session.terms.revision,
  }
  const run = new CommandRun(session, command, decision, receivedAt, kind)
  if (sent) run.takes(sent)
  tell(run, response, malformed(problem, run.reference))
}

export function malformed({ status, message }: RefusedRequest, reference: string): Problem {
  const kind = status === 403 ? 'denied' : status === 404 ? 'unknown-session' : 'malformed'
  return { kind, status, detail: message, reference }
}

/** Says no to a command, and writes its line. */
export function tell(run: CommandRun, response: ClientResponse, problem: Problem): void {
  if (isGone(response)) {
    run.finish({ code: 'gone', message: 'the client went away' })
    return
  }
  const bytes = answer(response, problem, run.kind.say)
  run.bytes += bytes.length
  run.shows(bytes)
  run.finish({ code: problem.kind, message: problem.detail })
}

/** @param limit in bytes, of what has to be there as a whole. */
export function tooLarge(reference: string, limit: number): Problem {
  const detail = `what can be decided on, shown to people or signed has at most ${limit} bytes, and this has more`
  return { kind: 'too-large', status: 413, detail, reference }
}

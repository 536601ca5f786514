/** Why a request that runs ends without its answer. */

import type { LimitReached } from '../../../session.ts'
import { limitReached, type Problem } from './problems.ts'
import type { CommandRun } from './run.ts'
import { NotConnected } from './upstream.ts'

export class Ended extends Error {
  override readonly name = 'Ended'
  /** Undefined where nobody is there to hear it. */
  readonly problem: Problem | undefined

  constructor(problem: Problem | undefined, message = problem?.detail ?? 'the client went away') {
    super(message)
    this.problem = problem
  }
}

export function sessionOver({ session, reference }: CommandRun): Ended {
  const { message } = session.signal.reason as { message: string }
  return new Ended({ kind: 'unauthenticated', status: 401, detail: message, reference })
}

export function tooSlow({ reference }: CommandRun, seconds: number): Ended {
  const detail = `ran longer than the ${seconds} s that policy allows`
  return new Ended({ kind: 'too-slow', status: 504, detail, reference })
}

export function withheld({ reference }: CommandRun, problem: string): Ended {
  const detail = `the response was withheld because it could not be masked with certainty: ${problem}`
  return new Ended({ kind: 'withheld', status: 502, detail, reference })
}

/** https://www.rfc-editor.org/rfc/rfc9110#section-15: a client of HTTP/2 can't be told of any other. */
export function unknownStatus({ reference }: CommandRun, status: number): Ended | undefined {
  if (status >= 200 && status <= 599) return undefined
  const detail = `the response was withheld because its status, ${status}, means nothing`
  return new Ended({ kind: 'withheld', status: 502, detail, reference })
}

export function overLimit({ reference }: CommandRun, limit: LimitReached): Ended {
  return new Ended(limitReached(limit, reference))
}

/** @param bytes that are about to go to the client. */
export function tooManyBytes({ session, bytes: gone }: CommandRun, bytes: number): LimitReached | undefined {
  const { bytesPerCommand } = session.terms.limits
  return bytesPerCommand === undefined || gone + bytes <= bytesPerCommand
    ? undefined
    : {
        limit: 'bytesPerCommand',
        message: `the limit of ${bytesPerCommand} bytes per command is reached`,
      }
}

interface Failure {
  /** What the client hears; undefined where nobody is there to hear it. */
  readonly problem: Problem | undefined
  readonly code: string
  readonly message: string
}

/** @param error by which a request has ended, of whatever kind. */
export function failureOf(error: unknown, { reference }: CommandRun): Failure {
  if (error instanceof Ended) {
    const { problem, message } = error
    return { problem, code: problem?.kind ?? 'gone', message }
  }
  const [message, hint] =
    error instanceof NotConnected
      ? [error.why.message, error.why.hint]
      : ['the target broke off, or answered what is no HTTP', undefined]
  const problem: Problem = { kind: 'unavailable', status: 502, detail: message, hint, reference }
  return { problem, code: 'unavailable', message }
}

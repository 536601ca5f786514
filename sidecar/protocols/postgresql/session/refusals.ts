/** What a client hears when the gateway answers instead of the server. */
import { type Decision, describeDecision } from '@firebreak/policy'
import type { HoldOutcome, LimitReached, Refusal } from '../../../session.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import { errorResponse } from '../codec/encode.ts'

/** The text that stands in a refused command's place. The server is certain to refuse it as a syntax error, and logs it with the reference. */
export function placeholder(reference: string): string {
  return `refused by firebreak, reference ${reference}`
}

export function refusedCommand(decision: Decision, analysis: StatementAnalysis, reference: string): Buffer {
  if (analysis.serverError) return errorResponse({ severity: 'ERROR', ...analysis.serverError })
  return errorResponse({
    severity: 'ERROR',
    code: '42501',
    message: decision.rule ? describeDecision(decision) : `denied: ${decision.reason}`,
    detail: decision.rule && sentence(decision.reason),
    hint: hint(decision.hint, reference),
  })
}

/** @param canceled by the client itself. */
export function notApproved(
  decision: Decision,
  { message, hint: help }: Extract<HoldOutcome, { kind: 'refused' }>,
  canceled: boolean,
  reference: string,
): Buffer {
  return errorResponse({
    severity: 'ERROR',
    code: canceled ? '57014' : '42501',
    message,
    detail: sentence(`${describeDecision(decision)}: ${decision.reason}`),
    hint: hint(help ?? decision.hint, reference),
  })
}

export function noSuchPortal(name: string): Buffer {
  return errorResponse({ severity: 'ERROR', code: '34000', message: `portal "${name}" does not exist` })
}

export function limitReached({ message }: LimitReached, reference: string): Buffer {
  return errorResponse({ severity: 'ERROR', code: '54000', message, hint: hint(undefined, reference) })
}

export function commandTooLong(secondsAllowed: number, reference: string): Buffer {
  return errorResponse({
    severity: 'ERROR',
    code: '57014',
    message: `canceled: the command ran longer than the ${secondsAllowed} s that policy allows`,
    hint: hint(undefined, reference),
  })
}

export function unmaskable(problem: string, reference: string): Buffer {
  return errorResponse({
    severity: 'ERROR',
    code: '42501',
    message: 'the result was withheld because it could not be masked with certainty',
    detail: sentence(problem),
    hint: hint('Definitions may just have changed: try again.', reference),
  })
}

const refusalCodes = {
  unauthenticated: '28000',
  forbidden: '42501',
  unavailable: '08001',
  expired: '57P01',
} as const

export function refusedSession({ code, message, hint: help, reference }: Refusal): Buffer {
  return errorResponse({ severity: 'FATAL', code: refusalCodes[code], message, hint: hint(help, reference) })
}

function hint(text: string | undefined, reference: string): string {
  return `${text === undefined ? '' : `${sentence(text)} `}Reference ${reference}.`
}

function sentence(text: string): string {
  // names stay as they are: only a plain word begins with a capital
  const capital = /^[a-z]+[ ,']/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text
  return /[.!?]$/.test(capital) ? capital : `${capital}.`
}

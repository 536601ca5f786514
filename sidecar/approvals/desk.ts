/** The approver's side of the directory: lists requests, and writes decisions into their files. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalRequest } from '@firebreak/crds'
import { formatRequest, parseRequest, readWritten, replaceFile } from './request-file.ts'
import { isFinished } from './store.ts'
import { systemUser } from './system-users.ts'

/** What came of a decision. */
export type DecisionResult =
  | { readonly kind: 'decided'; readonly request: ApprovalRequest }
  /** It counts, and others have to agree as well. */
  | { readonly kind: 'noted'; readonly request: ApprovalRequest }
  | { readonly kind: 'refused'; readonly reason: string }
  /** It is written, and no runner has read it yet. */
  | { readonly kind: 'unread' }

export interface DecisionInput {
  readonly decision: 'Approved' | 'Denied'
  readonly reason?: string | undefined
}

const lookEvery = 100
const answerWithin = 5_000

/** All requests of a directory, finished ones too, the youngest last. @throws the system's error when it can't be read. */
export async function listRequests(directory: string): Promise<readonly ApprovalRequest[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.yaml') && !name.startsWith('.'))
  const requests: ApprovalRequest[] = []
  for (const name of names) {
    const request = await read(join(directory, name))
    if (request) requests.push(request)
  }
  return requests.sort((a, b) => (a.spec.requestedAt < b.spec.requestedAt ? -1 : 1))
}

/** One request; undefined when there is none of that name. */
export async function findRequest(directory: string, name: string): Promise<ApprovalRequest | undefined> {
  return /^[a-z0-9][a-z0-9.-]*$/.test(name) ? await read(join(directory, `${name}.yaml`)) : undefined
}

/**
 * Decides, as the user that this process runs as, and waits for the runner to take it. The file is written anew, so that
 * the system says whose it is.
 */
export async function decideRequest(
  directory: string,
  name: string,
  input: DecisionInput,
): Promise<DecisionResult> {
  const { decision } = input
  const path = join(directory, `${name}.yaml`)
  const { user } = await systemUser(process.getuid?.() ?? -1)
  const mode = ((await stat(directory)).mode & 0o005) === 0 ? 0o644 : 0o640
  const deadline = performance.now() + answerWithin
  let refusedBefore: string | undefined
  let written = false
  for (;;) {
    const request = await findRequest(directory, name)
    if (!request) return { kind: 'refused', reason: `there is no request ${name}` }
    const refusal = request.status?.conditions?.find(({ type }) => type === 'DecisionRefused')
    const refusedAt = refusal && `${refusal.lastTransitionTime} ${refusal.message}`
    if (written) {
      const result = resultFor(request, user, decision)
      if (result) return result
      if (refusal && refusedAt !== refusedBefore)
        return { kind: 'refused', reason: refusal.message.slice(refusal.message.indexOf(': ') + 2) }
    } else refusedBefore = refusedAt
    if (isFinished(request) || (request.status?.state === 'Approved' && decision === 'Approved'))
      return { kind: 'refused', reason: `it is ${request.status?.state?.toLowerCase()} already` }
    // what another approver has just written is read first; it may also have been read instead of this one
    const othersTurn = !written && request.status?.state === 'Pending' && request.spec.decision !== undefined
    if (!othersTurn && request.spec.decision !== decision) {
      await replaceFile(path, formatRequest(withDecision(request, input)), mode)
      written = true
    }
    if (performance.now() > deadline) return { kind: 'unread' }
    await delay(lookEvery)
  }
}

/** @returns undefined as long as the decision is in nobody's list. */
function resultFor(
  request: ApprovalRequest,
  user: string,
  decision: DecisionInput['decision'],
): DecisionResult | undefined {
  const mine = request.status?.approvals?.find((vote) => vote.user === user)
  if (mine?.decision !== decision) return undefined
  return { kind: request.status?.state === 'Pending' ? 'noted' : 'decided', request }
}

function withDecision(request: ApprovalRequest, { decision, reason }: DecisionInput): ApprovalRequest {
  const { reason: _before, ...spec } = request.spec
  return { ...request, spec: { ...spec, decision, ...(reason !== undefined && { reason }) } }
}

async function read(path: string): Promise<ApprovalRequest | undefined> {
  try {
    const parsed = parseRequest((await readWritten(path)).text)
    return parsed.ok ? parsed.value : undefined
  } catch {
    return undefined
  }
}

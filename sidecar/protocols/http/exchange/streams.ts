/** Streams that clients leave HTTP for, where a kind of API has some that are looked into. */
import type { Decision, SessionTerms } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import type { MalformedRequest } from '../head/head.ts'
import type { HttpRequest, RequestHead } from '../request.ts'
import type { RefusedRequest } from './client.ts'
import type { Problem } from './problems.ts'
import type { CommandRun } from './run.ts'
import type { OpenedTunnel, StreamEnd, Tunnel } from './tunnel.ts'

/** What a kind of API knows of the streams that clients leave HTTP for. */
export interface Streams {
  /**
   * @returns the request with no more on offer than what is understood: as it is decided on, and as the target hears it, which is
   * asked for WebSocket whatever its client speaks; or why it has no one meaning.
   */
  understood(head: RequestHead, protocol: Tunnel['protocol']): Result<RequestHead, MalformedRequest>
  /** @returns why a request whose command may run has no stream that can be looked into. @param upgrades to another protocol. */
  refusal(
    request: HttpRequest,
    upgrades: boolean,
    decision: Decision,
    terms: SessionTerms,
  ): RefusedRequest | undefined
  /** @returns when both sides are gone. Never rejects. */
  relay(opened: OpenedTunnel): Promise<StreamEnd>
}

/** @returns why what would pass over another protocol than HTTP can't be looked into as it has to be. */
export function streamProblem(
  { kind: { streams }, session: { terms }, decision, reference }: CommandRun,
  request: HttpRequest,
  upgrades: boolean,
): Problem | undefined {
  const refused = streams
    ? streams.refusal(request, upgrades, decision, terms)
    : upgrades && (terms.masks || terms.detectors.length > 0)
      ? unmaskable
      : undefined
  return refused && { kind: 'withheld', status: refused.status, detail: refused.message, reference }
}

const unmaskable: RefusedRequest = {
  status: 403,
  message:
    'what passes over another protocol than HTTP is not looked into, and something in it may have to be masked',
}

/** A request from its head to its end: who, what, whether, and then on its way. */
import type { Command, Decision } from '@firebreak/policy'
import { newReference } from '../../../audit/reference.ts'
import type {
  Credential,
  GuardedSession,
  HttpAuthentication,
  Refusal,
  Result,
  Target,
} from '../../../session.ts'
import type { Meaning } from '../analysis/meaning.ts'
import { servesGrpc } from '../analysis/of-target.ts'
import { type MalformedRequest, readHead } from '../head/head.ts'
import type { HeaderFields, HttpRequest, RequestHead } from '../request.ts'
import { hasWholeBodySigned, maximumSignedBody, refusalToSign } from './aws-signature.ts'
import {
  type ApiKind,
  answer,
  type ClientRequest,
  type ClientResponse,
  type Connection,
  hasBody,
  type RefusedRequest,
  readBody,
} from './client.ts'
import { type Conversation, whoseIs } from './conversation.ts'
import { inGrpc, isGrpc, unmaskableCall } from './grpc.ts'
import { askPeople, maximumHeldBody } from './held.ts'
import { cancel, namesOf } from './held-calls.ts'
import { identify } from './identification.ts'
import { pass } from './passage.ts'
import {
  limitReached,
  noCredential,
  notApproved,
  type Problem,
  refusedCommand,
  refusedSession,
} from './problems.ts'
import { malformed, refuseMalformed, tell, tooLarge } from './refusing.ts'
import { CommandRun } from './run.ts'
import { streamProblem } from './streams.ts'
import { refusalAtTokenEndpoint } from './token-endpoint.ts'
import type { Tunnel } from './tunnel.ts'
import { upstreamOf } from './upstream.ts'

export interface Incoming {
  readonly request: ClientRequest
  readonly response: ClientResponse
  /** The client waits to be told that it may send the body. */
  readonly expectsContinue: boolean
  /** HTTP/2: a body follows, of whatever length. */
  readonly streams: boolean
  /** The client wants to leave HTTP. */
  readonly tunnel?: Tunnel
}

/** Answers one request. Rejections are bugs. */
export async function exchange(incoming: Incoming, plain: Connection): Promise<void> {
  const receivedAt = performance.now()
  const { request, response } = incoming
  const head = readHead(request)
  const headers = head.ok ? head.value.headers : head.error.headers
  const connection = request.httpVersion === '2.0' && isGrpc(headers ?? []) ? inGrpc(plain) : plain
  const session = headers && (await sessionFor(headers, response, connection))
  if (headers && !session) return
  if (!session) {
    answer(response, malformed(head.ok ? notRead : head.error, newReference()), connection.kind.say)
    return
  }
  connection.sessions.began(session)
  try {
    await session.ready()
    if (!head.ok) refuseMalformed(incoming, session, head.error, receivedAt, connection.kind)
    else await new Exchange(incoming, connection, session, head.value, receivedAt).run()
  } finally {
    connection.sessions.ended(session)
  }
}

const notRead: MalformedRequest = { status: 400, message: 'the head can not be read' }

/** @returns undefined where the client has been told why not. */
async function sessionFor(
  headers: HeaderFields,
  response: ClientResponse,
  { gateway, sessions, confidential, kind: { say } }: Connection,
): Promise<GuardedSession | undefined> {
  const refuse = (detail: string): undefined => {
    answer(response, { kind: 'unauthenticated', status: 401, detail, reference: newReference() }, say)
  }
  const identified = identify(headers, (role) => gateway.asksForToken(role))
  if (!identified.ok) return refuse(identified.error)
  if (identified.value.token !== undefined && !confidential)
    return refuse('a token is accepted only over an encrypted connection or from this host')
  const opened = await sessions.of(identified.value)
  if (!('ok' in opened)) return opened
  if (opened.ok) return opened.value
  answer(response, refusedSession(opened.error), say)
  return undefined
}

class Exchange {
  readonly #incoming: Incoming
  readonly #connection: Connection
  readonly #session: GuardedSession
  /** That the request is understood for, decided about, and sent to: no other one sees it. */
  readonly #target: Target
  readonly #meaning: Meaning
  readonly #receivedAt: number
  readonly #sendsBody: boolean
  #request: HttpRequest
  /** Of the body, where it was read to decide. */
  #sent: Buffer | undefined
  #conversation: Conversation | undefined
  /** Another one, once the client is kept waiting. */
  #response: ClientResponse

  constructor(
    incoming: Incoming,
    connection: Connection,
    session: GuardedSession,
    head: RequestHead,
    receivedAt: number,
  ) {
    this.#incoming = incoming
    this.#connection = connection
    this.#session = session
    this.#target = connection.gateway.target
    this.#meaning = connection.meaningOf(this.#target)
    this.#request = head
    this.#response = incoming.response
    this.#receivedAt = receivedAt
    this.#sendsBody = hasBody({ headers: head.headers, stream: incoming.streams })
  }

  async run(): Promise<void> {
    const needed = this.#meaning.needs(this.#request)
    const unread = needed > 0 && !(await this.#read(needed))
    const { kind } = this.#connection
    const refused = unread
      ? undefined
      : (kind.refusal?.(this.#request) ??
        refusalAtTokenEndpoint(this.#target, this.#request) ??
        refusalToSign(this.#target, this.#request))
    if (refused) {
      refuseMalformed(this.#incoming, this.#session, refused, this.#receivedAt, kind, this.#sent)
      return
    }
    const unknown = this.#converse()
    if (unknown) {
      refuseMalformed(this.#incoming, this.#session, unknown, this.#receivedAt, kind, this.#sent)
      return
    }
    const run = this.#decide()
    if (unread) {
      tell(run, this.#response, tooLarge(run.reference, needed))
      return
    }
    const problem = await this.#refusal(run)
    if (problem) tell(run, this.#response, problem)
    else await this.#pass(run)
  }

  /** @returns why the conversation that the request belongs to is not the agent's. */
  #converse(): RefusedRequest | undefined {
    const meaning = this.#meaning
    const own = meaning.conversationOf?.(this.#request)?.own(whoseIs(this.#session))
    if (!own) return undefined
    if (!own.ok) return own.error
    this.#request = own.value
    this.#conversation = meaning.conversationOf?.(own.value)
    return undefined
  }

  get #kind(): ApiKind {
    const { kind } = this.#connection
    const conversation = this.#conversation
    return conversation
      ? { ...kind, say: (problem) => conversation.refusal(problem) ?? kind.say(problem) }
      : kind
  }

  #decide(): CommandRun {
    const session = this.#session
    const [command, decision] = this.#judge()
    const run = new CommandRun(session, command, decision, this.#receivedAt, this.#kind)
    run.traceParent = claimedTrace(this.#request)
    if (this.#sent) run.takes(this.#sent)
    return run
  }

  /** Where a command may not run as it is, but what is less of it may, that is what runs. */
  #judge(): readonly [Command, Decision] {
    const command = this.#understand()
    const decision = this.#session.decide(command)
    const lesser = decision.effect === 'allow' ? undefined : this.#connection.kind.lesser?.(this.#request)
    if (!lesser) return [command, decision]
    const decided = this.#session.decide(lesser)
    return decided.effect === 'deny' && decision.effect === 'hold' ? [command, decision] : [lesser, decided]
  }

  #understand(): Command {
    return this.#meaning.commandOf(this.#request, this.#incoming.tunnel !== undefined)
  }

  /** @returns why it may not run; undefined where it may, now. */
  async #refusal(run: CommandRun): Promise<Problem | undefined> {
    if (run.decision.effect === 'deny') return refusedCommand(run.decision, run.reference)
    const { headers } = this.#request
    const problem =
      streamProblem(run, this.#request, this.#incoming.tunnel !== undefined) ?? unmaskableCall(run, headers)
    if (problem) return problem
    if (run.decision.effect === 'hold') {
      const refused = await this.#hold(run)
      if (refused) return refused
    }
    const limit = this.#session.admit()
    return limit && limitReached(limit, run.reference)
  }

  /** Asks people, and then decides from the beginning. */
  async #hold(run: CommandRun): Promise<Problem | undefined> {
    if (!(await this.#read(maximumHeldBody, run))) return tooLarge(run.reference, maximumHeldBody)
    const { outcome, response } = await askPeople(run, this.#request, this.#response, this.#conversation)
    this.#response = response
    run.approval = outcome.kind === 'approved' ? outcome.request : (outcome.request ?? run.approval)
    if (outcome.kind === 'refused') return notApproved(run.decision, outcome, run.reference)
    const [command, decision] = this.#judge()
    run.command = command
    run.decision = decision
    run.permits = outcome.permits
    if (run.decision.effect === 'deny') return refusedCommand(run.decision, run.reference)
    if (outcome.permits([command])) return undefined
    return notApproved(
      run.decision,
      { kind: 'refused', message: 'the policy has changed meanwhile' },
      run.reference,
    )
  }

  async #pass(run: CommandRun): Promise<void> {
    const { request, expectsContinue, tunnel } = this.#incoming
    const response = this.#response
    const target = this.#target
    if (hasWholeBodySigned(target, this.#request) && !(await this.#read(maximumSignedBody, run))) {
      tell(run, response, tooLarge(run.reference, maximumSignedBody))
      return
    }
    const renewed = (): Promise<Result<Credential, Refusal>> => this.#session.credential(target)
    const credential = await renewed()
    if (!credential.ok) {
      tell(run, response, noCredential(credential.error, run.reference))
      return
    }
    run.sent = true
    if (this.#conversation) cancel(namesOf(this.#conversation.cancels, this.#session))
    const streams = this.#sendsBody && this.#request.body === undefined
    if (streams && expectsContinue) response.writeContinue()
    await pass({
      run,
      request: this.#forwarded(),
      body: streams ? request : undefined,
      response,
      tunnel,
      upstream: upstreamOf(this.#session.subject, target, credential.value),
      authentication: authenticationOf(target, credential.value),
      credential: credential.value,
      renewed,
      openBodyMask: this.#meaning.openBodyMask ?? this.#connection.openBodyMask,
      isCall: isGrpc(this.#request.headers) && servesGrpc(target.http, this.#request),
      inspected: this.#isInspected(),
    })
  }

  /** The request in a form whose answer can be looked into, where it may have to be. */
  #forwarded(): HttpRequest {
    const { inspectable, streams } = this.#connection.kind
    if (this.#incoming.tunnel && streams) return streams.offered(this.#request)
    if (!inspectable || !this.#isInspected()) return this.#request
    return { ...this.#request, headers: inspectable(this.#request) }
  }

  #isInspected(): boolean {
    const { masks, detectors } = this.#session.terms
    return masks || detectors.length > 0 || this.#meaning.readsAnswer?.(this.#request) === true
  }

  /** The body, once. @param run that it is of, where that is known. @returns whether it is there as a whole. */
  async #read(limit: number, run?: CommandRun): Promise<boolean> {
    if (!this.#sendsBody) return true
    const { body } = this.#request
    if (body) return body.length <= limit
    const { request, response, expectsContinue } = this.#incoming
    if (expectsContinue) response.writeContinue()
    const read = await readBody(request, limit).catch(() => undefined)
    if (read === undefined) return false
    if (run) run.takes(read)
    else this.#sent = read
    this.#request = { ...this.#request, body: read }
    return true
  }
}

/** The client's `traceparent`; of several none counts. https://www.w3.org/TR/trace-context/#traceparent-header */
function claimedTrace({ headers }: HttpRequest): string | undefined {
  const first = headers.find(isTraceParent)
  return first === headers.findLast(isTraceParent) ? first?.[1] : undefined
}

function isTraceParent([name]: readonly [string, string]): boolean {
  return name === 'traceparent'
}

/** Who shows a certificate, and has no secret beside it, says nothing else. */
function authenticationOf({ http }: Target, { password, clientCertificate }: Credential): HttpAuthentication {
  const isCertificateAlone = clientCertificate !== undefined && password === undefined
  return isCertificateAlone ? { as: 'none' } : (http?.authentication ?? { as: 'none' })
}

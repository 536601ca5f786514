/** A request from when it is known whose it is: what it does, whether it may, and then on its way. */
import type { Credential, GuardedSession, Refusal, Result, Target } from '../../../session.ts'
import type { Meaning } from '../analysis/meaning.ts'
import { servesGrpc } from '../analysis/of-target.ts'
import type { HttpRequest, RequestHead } from '../request.ts'
import { wayOf } from './answering.ts'
import { hasWholeBodySigned, maximumSignedBody, refusalToSign } from './aws-signature.ts'
import {
  type ApiKind,
  type ClientResponse,
  type Connection,
  hasBody,
  type RefusedRequest,
  readBody,
} from './client.ts'
import { type Conversation, whoseIs } from './conversation.ts'
import type { Incoming } from './exchange.ts'
import { isGrpc, unmaskableCall } from './grpc.ts'
import { askPeople, maximumHeldBody } from './held.ts'
import { cancel, namesOf } from './held-calls.ts'
import { authenticationOf } from './injection.ts'
import { Judge, type Judged } from './judge.ts'
import { pass } from './passage.ts'
import { type Next, persisting } from './persisting.ts'
import { limitReached, noCredential, notApproved, type Problem, refusedCommand } from './problems.ts'
import type { Answer } from './question.ts'
import { refuseMalformed, tell, tooLarge } from './refusing.ts'
import { CommandRun } from './run.ts'
import { streamProblem } from './streams.ts'
import { refusalAtTokenEndpoint } from './token-endpoint.ts'
import { upstreamOf, type Way } from './upstream.ts'

export class Course {
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
  readonly #judge: Judge
  /** That the target has given already, instead of doing it. */
  #answer: Answer | undefined
  /** Instead of the request, where what comes of it was decided. */
  #sends: HttpRequest | undefined
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
    const about = { kind: connection.kind, meaning: this.#meaning }
    this.#judge = new Judge(about, session, this.#target, incoming.tunnel !== undefined)
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
    if (unread) {
      const run = this.#begin(this.#judge.byItself(this.#request))
      tell(run, this.#response, tooLarge(run.reference, needed))
      return
    }
    const judged = await this.#judge.judge(this.#request, this.#response)
    const run = this.#begin(judged)
    const problem = await this.#refusal(run, judged)
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

  #begin(judged: Judged): CommandRun {
    const { command, decision } = judged
    const run = new CommandRun(this.#session, command, decision, this.#receivedAt, this.#kind)
    run.isDerived = judged.isDerived === true
    run.worst = judged.worst
    run.traceParent = claimedTrace(this.#request)
    if (this.#sent) run.takes(this.#sent)
    return run
  }

  /** @returns why it may not run; undefined where it may, now. */
  async #refusal(run: CommandRun, judged: Judged): Promise<Problem | undefined> {
    const refused = this.#refused(run, judged)
    if (refused || judged.answer) return refused
    const { headers } = this.#request
    const problem =
      streamProblem(run, this.#request, this.#incoming.tunnel !== undefined) ?? unmaskableCall(run, headers)
    if (problem) return problem
    if (run.decision.effect === 'hold') {
      const notAgreed = await this.#hold(run)
      if (notAgreed) return notAgreed
    }
    const limit = this.#judge.admit()
    return limit && limitReached(limit, run.reference)
  }

  /** @returns why it is refused without anybody being asked about it. */
  #refused(run: CommandRun, { unasked, answer, sends }: Judged): Problem | undefined {
    this.#answer = answer
    this.#sends = sends
    if (unasked) return unasked(run.reference)
    return run.decision.effect === 'deny' ? refusedCommand(run.told(run.decision), run.reference) : undefined
  }

  /** Asks people, and then decides from the beginning. */
  async #hold(run: CommandRun): Promise<Problem | undefined> {
    if (!(await this.#read(maximumHeldBody, run))) return tooLarge(run.reference, maximumHeldBody)
    const { outcome, response } = await askPeople(run, this.#request, this.#response, this.#conversation)
    this.#response = response
    run.approval = outcome.kind === 'approved' ? outcome.request : (outcome.request ?? run.approval)
    if (outcome.kind === 'refused') return notApproved(run.told(run.decision), outcome, run.reference)
    run.permits = outcome.permits
    return await this.#decideAgain(run)
  }

  /** @returns why it may not run any more; undefined where it may, or where the target has answered. */
  async #decideAgain(run: CommandRun): Promise<Problem | undefined> {
    const judged = await this.#judge.judge(this.#request, this.#response, run.permits)
    const { command, decision } = judged
    run.command = command
    run.decision = decision
    run.isDerived ||= judged.isDerived === true
    run.worst = judged.worst
    const refused = this.#refused(run, judged)
    if (refused || judged.answer) return refused
    if (run.permits ? run.permits([command]) : decision.effect === 'allow') return undefined
    const message = run.isDerived
      ? 'the policy has changed meanwhile, or what comes of it is no more what people were shown'
      : 'the policy has changed meanwhile'
    return notApproved(run.told(run.decision), { kind: 'refused', message }, run.reference)
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
    run.sent = this.#answer === undefined
    if (this.#conversation) cancel(namesOf(this.#conversation.cancels, this.#session))
    const streams = this.#sendsBody && this.#request.body === undefined
    if (streams && expectsContinue) response.writeContinue()
    const upstream = upstreamOf(this.#session.subject, target, credential.value)
    await pass({
      run,
      request: this.#forwarded(),
      body: streams ? request : undefined,
      response,
      tunnel,
      upstream: this.#wayTo(upstream, run),
      authentication: authenticationOf(target, credential.value),
      credential: credential.value,
      renewed,
      openBodyMask: this.#meaning.openBodyMask ?? this.#connection.openBodyMask,
      isCall: isGrpc(this.#request.headers) && servesGrpc(target.http, this.#request),
      inspected: this.#isInspected(),
    })
  }

  #wayTo(upstream: Way, run: CommandRun): Way {
    if (this.#answer) return wayOf(this.#answer, upstream)
    const { reference } = run
    return this.#sends ? persisting(upstream, { reference, again: () => this.#again(run) }) : upstream
  }

  async #again(run: CommandRun): Promise<Next> {
    const problem = await this.#decideAgain(run)
    if (problem) return { kind: 'refused', problem }
    if (this.#answer) return { kind: 'answer', answer: this.#answer }
    return { kind: 'send', body: (this.#sends ?? this.#request).body ?? Buffer.alloc(0) }
  }

  /** The request in a form whose answer can be looked into, where it may have to be. */
  #forwarded(): HttpRequest {
    const { inspectable, streams } = this.#connection.kind
    const request = this.#sends ?? this.#request
    if (this.#incoming.tunnel && streams) return request
    if (!inspectable || !this.#isInspected()) return request
    return { ...request, headers: inspectable(request) }
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

/** Asks a target a question of the gateway's own, with the role's credential. */
import type { Dispatcher } from 'undici'
import type { Credential, GuardedSession, Refusal, Result, Target } from '../../../session.ts'
import type { ClientResponse } from './client.ts'
import { authenticationOf } from './injection.ts'
import { type Outbound, outgoing } from './outgoing.ts'
import { noCredential, type Problem, refusedSession } from './problems.ts'
import type { Answer, Question } from './question.ts'
import { NotConnected, readRaw, upstreamOf } from './upstream.ts'

/** As long as an API server takes for a request. In seconds. */
const answeredWithin = 60

export interface Asking {
  readonly question: Question
  readonly session: GuardedSession
  readonly target: Target
  /** Of the client, which may go away meanwhile. */
  readonly response: ClientResponse
}

/** Why there is none, with the reference of the command that it was asked for. */
export type Unanswered = (reference: string) => Problem

/** Never rejects. */
export async function askTarget(asking: Asking): Promise<Result<Answer, Unanswered>> {
  const { session, response } = asking
  const gone = new AbortController()
  const leave = (): void => gone.abort(new Error('the client went away'))
  response.once('close', leave)
  const seconds = Math.min(session.terms.limits.commandSeconds ?? answeredWithin, answeredWithin)
  const late = AbortSignal.timeout(seconds * 1_000)
  try {
    return await askTwice(asking, AbortSignal.any([session.signal, gone.signal, late]))
  } catch (error) {
    if (session.signal.aborted)
      return unanswered((reference) => ({ ...refusedSession(session.signal.reason as Refusal), reference }))
    const why = late.aborted ? `there is no answer within ${seconds} s` : whyOf(error)
    return unanswered((reference) => unavailable(why, reference))
  } finally {
    response.off('close', leave)
  }
}

/** A second time where the target doesn't take the credential, and there is another one now. */
async function askTwice(asking: Asking, signal: AbortSignal): Promise<Result<Answer, Unanswered>> {
  const first = await ask(asking, signal)
  const isRefused = first.ok && first.value.answer.status === 401
  const again = isRefused && asking.session.credentialRefused(first.value.credential)
  const last = again ? await ask(asking, signal) : first
  if (!last.ok) return last
  const { answer } = last.value
  return answer.status < 500
    ? { ok: true, value: answer }
    : unanswered((reference) => unavailable(`the target answered ${answer.status}`, reference))
}

async function ask(
  { question, session, target }: Asking,
  signal: AbortSignal,
): Promise<Result<{ readonly answer: Answer; readonly credential: Credential }, Unanswered>> {
  const held = await session.credential(target)
  if (!held.ok) return unanswered((reference) => noCredential(held.error, reference))
  const credential = held.value
  const upstream = upstreamOf(session.subject, target, credential)
  const authentication = authenticationOf(target, credential)
  const asked: Outbound = { request: question.request, upstream, authentication, inspected: true }
  const sent = await outgoing(asked, credential)
  const collector = new Collector(question.maximumAnswer, signal)
  const [answer] = await Promise.all([collector.answer, upstream.dispatch(sent, collector)])
  return { ok: true, value: { answer, credential } }
}

function unanswered(error: Unanswered): Result<never, Unanswered> {
  return { ok: false, error }
}

class TooLong extends Error {
  override readonly name = 'TooLong'
}

function whyOf(error: unknown): string {
  if (error instanceof NotConnected) return error.why.message
  return error instanceof TooLong ? error.message : 'the target broke off, or answered what is no HTTP'
}

function unavailable(why: string, reference: string): Problem {
  const detail = `what comes of it is not known, so nothing was done: ${why}`
  return { kind: 'unavailable', status: 502, detail, reference }
}

/** An answer as a whole, in bounded memory. */
class Collector implements Dispatcher.DispatchHandler {
  readonly answer: Promise<Answer>
  readonly #settled = Promise.withResolvers<Answer>()
  readonly #maximum: number
  readonly #signal: AbortSignal
  readonly #chunks: Buffer[] = []
  #length = 0
  #status = 0
  #headers: Answer['headers'] = []
  #controller: Dispatcher.DispatchController | undefined

  constructor(maximum: number, signal: AbortSignal) {
    this.answer = this.#settled.promise
    this.#maximum = maximum
    this.#signal = signal
    signal.addEventListener('abort', this.#stop, { once: true })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#signal.aborted) this.#stop()
  }

  onRequestUpgrade(
    ...[, , , target]: Parameters<NonNullable<Dispatcher.DispatchHandler['onRequestUpgrade']>>
  ): void {
    target.destroy()
    this.#settle(() => this.#settled.reject(new Error('nobody has asked for another protocol')))
  }

  onResponseStart({ rawHeaders }: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return
    this.#status = status
    this.#headers = readRaw(rawHeaders)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#length += chunk.length
    if (this.#length > this.#maximum)
      controller.abort(new TooLong(`the answer has more than ${this.#maximum} bytes`))
    else this.#chunks.push(Buffer.from(chunk))
  }

  onResponseEnd(): void {
    const body = Buffer.concat(this.#chunks, this.#length)
    this.#settle(() => this.#settled.resolve({ status: this.#status, headers: this.#headers, body }))
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle(() => this.#settled.reject(error))
  }

  /** It may wait for a connection yet. */
  readonly #stop = (): void => {
    const reason = new Error('it is not waited for any more')
    this.#controller?.abort(reason)
    this.#settle(() => this.#settled.reject(reason))
  }

  #settle(how: () => void): void {
    this.#signal.removeEventListener('abort', this.#stop)
    how()
  }
}

/** A request that may run: it goes to the target, and what comes back goes to the client as it comes. */
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Credential } from '../../../session.ts'
import { returnedHeaders } from '../head/forwarded.ts'
import type { BodyMask, HeaderFields, ResponseHead } from '../request.ts'
import { answer, answerWithHead, breakOff, forNode, isGone, shownHead } from './client.ts'
import {
  Ended,
  failureOf,
  overLimit,
  sessionOver,
  tooManyBytes,
  tooSlow,
  unknownStatus,
  withheld,
} from './ended.ts'
import { isStatusAlone } from './grpc.ts'
import { openMask } from './inspection.ts'
import { Masking } from './masking.ts'
import { outgoing, type Passing } from './outgoing.ts'
import { noCredential, type Problem } from './problems.ts'
import { overtaken } from './standing.ts'
import { throughTunnel } from './tunnel.ts'
import { readRaw } from './upstream.ts'

/** @returns when the answer is with the client, or nobody waits for it any more; the command has its audit line then. Never rejects. */
export async function pass(passing: Passing): Promise<void> {
  const { run, response } = passing
  const passage = new Passage(passing)
  const gone = (): void => {
    if (!response.writableEnded) passage.end(new Ended(undefined))
  }
  const over = (): void => passage.end(sessionOver(run))
  const { commandSeconds } = run.session.terms.limits
  const timer =
    commandSeconds === undefined
      ? undefined
      : setTimeout(() => passage.end(tooSlow(run, commandSeconds)), commandSeconds * 1_000)
  const { terms } = run.session
  const changed = (): void => {
    const ended = overtaken(run, terms)
    if (ended) passage.end(ended)
  }
  response.on('close', gone)
  run.session.signal.addEventListener('abort', over)
  using _watching = run.session.watch(changed)
  // while it was on its way to here
  if (terms.revision !== run.decision.revision) changed()
  try {
    await passage.run()
  } finally {
    clearTimeout(timer)
    response.off('close', gone)
    run.session.signal.removeEventListener('abort', over)
  }
}

/** Of a target that takes the role's credential no more. */
class CredentialRefused extends Error {
  override readonly name = 'CredentialRefused'
}

const nothing = Buffer.alloc(0)

class Passage implements Dispatcher.DispatchHandler {
  readonly #passing: Passing
  readonly #done = Promise.withResolvers<void>()
  #controller: Dispatcher.DispatchController | undefined
  #ended: Ended | undefined
  #mask: BodyMask | undefined
  #masking: Masking | undefined
  #over = false
  /** That has come, and has not gone out. */
  #head: ResponseHead | undefined
  #repeated = false
  #failed: { readonly code: string; readonly message: string } | undefined

  constructor(passing: Passing) {
    this.#passing = passing
  }

  run(): Promise<void> {
    const { response, credential } = this.#passing
    void this.#send(credential)
    if (isGone(response)) this.end(new Ended(undefined))
    return this.#done.promise
  }

  async #send(credential: Credential): Promise<void> {
    const { upstream } = this.#passing
    try {
      await upstream.dispatch(await outgoing(this.#passing, credential), this)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Ends the request, wherever it is. */
  end(reason: Ended): void {
    this.#ended ??= reason
    this.#controller?.abort(this.#ended)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(this.#ended)
  }

  /** The target agrees. */
  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    target: Duplex,
  ): void {
    const { run, request, response, tunnel, upstream } = this.#passing
    if (!tunnel) {
      target.destroy()
      this.#fail(new Error('nobody has asked for another protocol'))
      return
    }
    run.status = status
    const headers = returnedHeaders(readRaw(controller.rawHeaders), upstream.origin, '/')
    const stopping = new AbortController()
    this.#controller = { ...controller, abort: (reason) => stopping.abort(reason) }
    const { signal } = stopping
    const end = (why: Ended): void => this.end(why)
    const relay = run.kind.streams?.relay ?? throughTunnel
    void relay({ tunnel, request, target, status, headers, run, signal, end }).then((over) => {
      if (over.unanswered) this.#refuse(over.unanswered)
      else response.destroy()
      const ended = over.isWhole ? undefined : this.#ended
      this.#finish(ended ? { code: ended.problem?.kind ?? 'gone', message: ended.message } : over.error)
      this.#done.resolve()
    })
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // what is only provisional is the gateway's own business
    if (status < 200) return
    if (status === 401 && this.#isToBeRepeated()) {
      this.#repeated = true
      controller.abort(new CredentialRefused())
      return
    }
    const { run, request, response, upstream } = this.#passing
    run.status = status
    const unknown = unknownStatus(run, status)
    if (unknown) {
      this.end(unknown)
      return
    }
    const received = { status, headers: readRaw(controller.rawHeaders) }
    const head = this.#inspect(controller, {
      status,
      headers: returnedHeaders(received.headers, upstream.origin, request.path.text),
    })
    if (status >= 400) this.#failed = { code: String(status), message: `the target answered ${status}` }
    if (!head) return
    this.#head = head
    if (isStatusAlone(head.headers)) return
    // with what comes along, which may be refused; but a client that waits for the head gets it
    const send = (): void =>
      this.#say(() => {
        if (this.#sendHead()) response.flushHeaders?.()
      })
    setImmediate(() => (this.#masking ? this.#masking.settled(send) : send()))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#masking) this.#say(() => this.#give(controller, chunk))
    else if (!this.#masking.push(chunk)) {
      controller.pause()
      this.#masking.drained(() => controller.resume())
    }
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#masking) this.#masking.end()
    else this.#say(() => this.#complete(readRaw(controller.rawTrailers)))
  }

  /** What can't be said to the client, as nothing that came should be, ends the request and not the process. */
  #say(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#controller?.abort(error as Error)
      this.#fail(error)
      // it may be over by its line already
      if (!this.#passing.response.writableEnded) breakOff(this.#passing.response)
      this.#done.resolve()
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (error instanceof CredentialRefused && !this.#ended) void this.#repeat()
    else this.#fail(this.#ended ?? error)
  }

  /** Whether there is another credential to try with, and nothing of a body is gone. */
  #isToBeRepeated(): boolean {
    const { run, credential, body, tunnel } = this.#passing
    return !this.#repeated && run.session.credentialRefused(credential) && !body && !tunnel
  }

  async #repeat(): Promise<void> {
    const { run, renewed } = this.#passing
    this.#controller = undefined
    const credential = await renewed()
    if (this.#ended) this.#fail(this.#ended)
    else if (credential.ok) await this.#send(credential.value)
    else this.#fail(new Ended(noCredential(credential.error, run.reference)))
  }

  #complete(trailers: HeaderFields): void {
    const { run, response, upstream } = this.#passing
    if (this.#ended) {
      this.#fail(this.#ended)
      return
    }
    const head = this.#head
    const returned = returnedHeaders(trailers, upstream.origin, '/')
    const isHeadAlone = head !== undefined && returned.length === 0
    if (isHeadAlone) run.shows(shownHead(head.status, head.headers))
    else this.#sendHead()
    if (returned.length > 0) response.addTrailers(forNode(returned))
    this.#over = true
    // the line is written before the client can know that the command is over
    this.#finish(this.#failed)
    if (isHeadAlone) {
      response.sendDate = false
      answerWithHead(response, head.status, forNode(head.headers))
    } else response.end()
    this.#done.resolve()
  }

  /** Trailers don't pass: they come when nothing can be taken back any more. */
  #maskWith(controller: Dispatcher.DispatchController, mask: BodyMask): Masking {
    const { run } = this.#passing
    return new Masking(mask, {
      give: (bytes, unmasked) => this.#say(() => this.#give(controller, bytes, unmasked)),
      ...(run.session.recorder?.keepsUnmasked && { keep: (unmasked) => run.shows(nothing, unmasked) }),
      done: () => this.#say(() => this.#complete([])),
      refused: (problem) => {
        const ended = withheld(run, problem)
        this.end(ended)
        // it may have come to its end already
        this.#fail(ended)
      },
    })
  }

  #give(controller: Dispatcher.DispatchController, bytes: Buffer, unmasked?: Buffer): void {
    const { run, response } = this.#passing
    if (this.#ended) return
    const limit = run.session.meter(0, bytes.length) ?? tooManyBytes(run, bytes.length)
    if (limit) {
      this.end(overLimit(run, limit))
      return
    }
    run.bytes += bytes.length
    this.#sendHead()
    run.shows(bytes, unmasked)
    const taken = response.write(bytes)
    const ready = run.session.ready()
    if (taken && !ready) return
    controller.pause()
    const drained = taken ? undefined : new Promise<void>((resolve) => response.once('drain', resolve))
    void Promise.all([ready, drained]).then(() => controller.resume())
  }

  /** What goes out of a head, where its body may pass; otherwise the request ends. */
  #inspect(controller: Dispatcher.DispatchController, head: ResponseHead): ResponseHead | undefined {
    const opened = openMask(this.#passing, head)
    if (!opened) return head
    if (opened.ok) {
      this.#mask = opened.value
      this.#masking = this.#maskWith(controller, opened.value)
      return opened.value.head
    }
    this.end(withheld(this.#passing.run, opened.error))
    return undefined
  }

  /** @returns whether it goes now: with what is written next, or by itself. */
  #sendHead(): boolean {
    const { run, response } = this.#passing
    const head = this.#head
    if (!head || this.#over || this.#ended) return false
    this.#head = undefined
    response.sendDate = false
    response.writeHead(head.status, forNode(head.headers))
    run.shows(shownHead(head.status, head.headers))
    return true
  }

  /** Only the first call counts. */
  #fail(error: unknown): void {
    const { run, response } = this.#passing
    if (this.#over) return
    this.#over = true
    const { problem, code, message } = failureOf(error, run)
    try {
      this.#refuse(problem)
    } catch {
      breakOff(response)
    }
    this.#finish({ code, message })
    this.#done.resolve()
  }

  #refuse(problem: Problem | undefined): void {
    const { run, response } = this.#passing
    if (problem && !response.headersSent && !isGone(response)) {
      const bytes = answer(response, problem, run.kind.say)
      run.bytes += bytes.length
      run.shows(bytes)
    } else if (problem && run.kind.sayAtEnd && !isGone(response)) {
      response.addTrailers(run.kind.sayAtEnd(problem))
      response.end()
    } else breakOff(response)
  }

  #finish(error: { readonly code: string; readonly message: string } | undefined): void {
    const { run } = this.#passing
    if (this.#mask) run.maskedFields = this.#mask.masked
    run.finish(error)
  }
}

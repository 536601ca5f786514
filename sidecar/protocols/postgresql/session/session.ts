/** One client connection and its server connection: what both sides share. */
import type { Socket } from 'node:net'
import type { GuardedSession, Refusal, Target } from '../../../session.ts'
import type { Analyser } from '../analysis/analyser.ts'
import * as encode from '../codec/encode.ts'
import { FrameReader } from '../codec/frame-reader.ts'
import { clientRules, serverRules } from '../codec/types.ts'
import { cancelOnServer } from '../handshake/cancel.ts'
import type { ServerConnection } from '../handshake/server.ts'
import { Admission } from './admission.ts'
import { ClientSide } from './client-side.ts'
import { Forwarder } from './forwarder.ts'
import { Holding } from './holding.ts'
import { type Operation, OperationQueue } from './operation.ts'
import { PreparedStatements } from './prepared.ts'
import { refusedSession } from './refusals.ts'
import type { CommandRun } from './run.ts'
import { ServerSide } from './server-side.ts'
import { ownCatalogueQuery, type SessionState, stateQuery } from './state.ts'

/** Names of the gateway's own statement and portal on the server. Clients can't use names with this prefix. */
export const ownPrefix = 'firebreak_'
const ownName = `${ownPrefix}own`

/** A client that is busy all the time hears the last ones when it is not. */
const maximumNotices = 16

export class Session {
  readonly client: Socket
  readonly server: ServerConnection
  readonly target: Target
  readonly guarded: GuardedSession
  readonly analyser: Analyser
  readonly state: SessionState
  readonly prepared: PreparedStatements
  readonly admission: Admission
  readonly holding: Holding
  readonly database: string
  readonly toServer: Forwarder
  readonly toClient: Forwarder
  readonly operations = new OperationQueue()
  /** Commands without an audit line so far: whatever ends the session, they get one. */
  readonly unfinished = new Set<CommandRun>()
  /** When the client last sent something, by the monotonic clock. */
  receivedAt = 0
  /** When it was last known what a text does, by the same clock. */
  analysedAt = 0
  /** The server takes CopyData from the client. */
  copyingIn = false
  /** The server ignores everything up to the next Sync. */
  discarding = false
  /** Messages of the extended protocol were sent since the last Sync. */
  groupOpen = false
  /** Operations in flight that change the state. */
  effectsInFlight = 0
  readonly #clientSide: ClientSide
  readonly #serverSide: ServerSide
  readonly #ended = Promise.withResolvers<void>()
  #closed = false
  #copyMayBeDue = false
  readonly #notices: string[] = []
  #cancelling: Promise<void> | undefined

  constructor(
    client: Socket,
    server: ServerConnection,
    target: Target,
    guarded: GuardedSession,
    analyser: Analyser,
    state: SessionState,
    database: string,
  ) {
    this.client = client
    this.server = server
    this.target = target
    this.guarded = guarded
    this.analyser = analyser
    this.state = state
    this.prepared = new PreparedStatements(analyser, state)
    this.admission = new Admission(this)
    this.holding = new Holding(this)
    this.database = database
    this.toServer = new Forwarder(new FrameReader(clientRules), server.socket)
    this.toClient = new Forwarder(new FrameReader(serverRules), client)
    this.#clientSide = new ClientSide(this)
    this.#serverSide = new ServerSide(this)
  }

  /** Passes messages until either side is gone or the session may not go on. */
  async run(): Promise<void> {
    const { client, server, guarded } = this
    const expired = (): void => void this.end(refusedSession(guarded.signal.reason as Refusal))
    guarded.signal.addEventListener('abort', expired, { once: true })
    server.socket.on('data', (chunk: Buffer) => this.#serverSide.receive(chunk))
    server.socket.on('close', () => this.end()).on('error', () => this.end())
    client.on('close', () => this.end()).on('error', () => this.end())
    client.on('end', () => this.end())
    client.on('drain', () => this.#serverSide.resume())
    server.socket.on('drain', () => this.#clientSide.resume())
    if (guarded.signal.aborted) expired()
    try {
      await this.askState()
      if (this.#closed) return
      guarded.onNotice = (message) => this.notify(message)
      guarded.busy = () => this.operations.length > 0
      client.write(encode.readyForQuery('I'))
      client.on('data', (chunk: Buffer) => this.#clientSide.receive(chunk))
      await this.#ended.promise
    } finally {
      guarded.signal.removeEventListener('abort', expired)
      guarded.onNotice = undefined
      this.state.close()
      for (const run of this.unfinished)
        run.finish(
          run.suspended
            ? undefined
            : { code: '08006', message: 'the connection ended before the command did' },
        )
    }
  }

  /** Ends both sides, each after what is due to it up to now; the client hears the last message at its end. */
  end(lastWords?: Buffer): 'end' {
    if (this.#closed) return 'end'
    this.#closed = true
    this.holding.abandon()
    const { client, server, toClient, toServer } = this
    for (const forwarder of [toClient, toServer]) {
      forwarder.skip()
      forwarder.write()
    }
    if (!server.socket.destroyed) server.socket.end(encode.terminate)
    setTimeout(() => server.socket.destroy(), 1_000).unref()
    // in the middle of a row, words would be taken for a part of it
    if (lastWords && client.writable && toClient.reader.rest === 0) client.end(this.#recorded(lastWords))
    else client.end()
    setTimeout(() => client.destroy(), 1_000).unref()
    this.#ended.resolve()
    return 'end'
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Something that can't be: going on could let one message be taken for another. */
  fail(code: '08P01' | '42501', message: string): 'end' {
    return this.end(encode.errorResponse({ severity: 'FATAL', code, message }))
  }

  /** The client's current message is not what its type says. */
  malformed(): 'end' {
    return this.fail('08P01', `invalid ${String.fromCharCode(this.toServer.reader.type)} message`)
  }

  /** The server's current message is no answer to what was sent. */
  unexpected(): 'end' {
    return this.broken(`${String.fromCharCode(this.toClient.reader.type)} when something else was due`)
  }

  broken(what: string): 'end' {
    return this.fail('08P01', `the server sent ${what}`)
  }

  /** Puts a message for the server in line with what is expected back. */
  expect(operation: Operation): void {
    if (operation.hasEffects) this.effectsInFlight++
    if (operation.change) this.prepared.sent(operation.change)
    this.operations.push(operation)
    if (operation.runs?.some(copiesIn)) this.#copyMayBeDue = true
  }

  /** A COPY FROM STDIN is on its way, and the server has not said that it takes data or that it does not. */
  get copyIsDue(): boolean {
    this.#copyMayBeDue &&= this.operations.awaits(copiesIn)
    return this.#copyMayBeDue
  }

  /** The head of the line has been answered. */
  answered(): void {
    const operation = this.operations.shift()
    if (operation?.hasEffects) this.effectsInFlight--
  }

  /** The client side may be waiting for everything to be answered, or for COPY to begin. */
  idle(): void {
    if (this.operations.length > 0 && !this.copyingIn) return
    if (this.#notices.length > 0 && !this.copyingIn) this.#sayNotices()
    this.#clientSide.resume()
  }

  /** Says something that is no answer to a command, as soon as it can be told apart from one. */
  notify(message: string): void {
    this.#notices.push(message)
    if (this.#notices.length > maximumNotices) this.#notices.shift()
    if (this.operations.length === 0) this.#sayNotices()
  }

  #sayNotices(): void {
    if (this.#closed || this.toClient.reader.rest > 0) return
    for (const message of this.#notices) this.client.write(this.#recorded(encode.noticeResponse(message)))
    this.#notices.length = 0
  }

  /** What goes to the client past the {@link toClient}. */
  #recorded(bytes: Buffer): Buffer {
    this.guarded.recorder?.response(bytes)
    return bytes
  }

  /** Answers all open questions about the state; only when nothing is in flight. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 4 && !this.#closed; turn++) {
      const question = this.state.question()
      if (question === undefined) return
      if (question === 'state') await this.askState()
      else if (question === 'sharedCatalogue') await this.state.refreshShared()
      else {
        const answer = await this.#ask(ownCatalogueQuery)
        if (answer === undefined) this.state.unanswered(question)
        else this.state.answerOwnCatalogue(answer)
      }
    }
  }

  async askState(): Promise<void> {
    const answer = await this.#ask(stateQuery)
    if (answer === undefined) this.state.unanswered('state')
    else this.state.answerState(answer)
  }

  /** Runs a statement of the gateway's own on the session, by names of its own so that nothing of the client's is touched. */
  #ask(text: string): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    let value: string | undefined
    const hidden = { hidden: true } as const
    this.expect({ kind: 'parse', ...hidden })
    this.expect({ kind: 'bind', ...hidden })
    this.expect({ kind: 'execute', ...hidden, receive: (received) => (value = received) })
    this.expect({ kind: 'close', ...hidden })
    this.expect({ kind: 'close', ...hidden })
    this.expect({ kind: 'sync', ...hidden, settled: (failed) => resolve(failed ? undefined : value) })
    this.toServer.send(
      Buffer.concat([
        encode.parse(ownName, text),
        encode.bind(ownName, ownName),
        encode.execute(ownName),
        encode.close('portal', ownName),
        encode.close('statement', ownName),
        encode.sync,
      ]),
    )
    this.toServer.write()
    void this.#ended.promise.then(() => resolve(undefined))
    return promise
  }

  /** Asks the server to stop what it is doing; until it has heard, the client's next command could be stopped instead. */
  cancelRunning(): void {
    const { key } = this.server
    if (!key) return
    this.#cancelling = cancelOnServer(this.target, key, AbortSignal.timeout(5_000))
      .catch(() => {})
      .finally(() => {
        this.#cancelling = undefined
      })
  }

  /** @returns what has to be over before the client's next message is looked at. */
  get busy(): Promise<void> | undefined {
    return this.guarded.ready() ?? this.#cancelling
  }
}

function copiesIn({ analysis, begun }: CommandRun): boolean {
  return analysis.copy?.direction === 'in' && !begun
}

/** What comes from the server: a stream of messages, each held against what is expected, that go on, change or vanish. */
import type { SessionRecorder } from '../../../session.ts'
import { fromServer } from '../codec/types.ts'
import { Answers } from './answers.ts'
import { Messages } from './messages.ts'
import { Results } from './results.ts'
import type { Session } from './session.ts'

/** `forward`: as it is. `drop`: not for the client, or something else instead. `end`: the session is over. */
export type ServerVerdict = 'forward' | 'drop' | 'end'

export class ServerSide {
  readonly #session: Session
  readonly #results: Results
  readonly #answers: Answers
  readonly #messages: Messages

  constructor(session: Session) {
    this.#session = session
    this.#results = new Results(session)
    this.#messages = new Messages(session)
    this.#answers = new Answers(session, this.#results, this.#messages)
  }

  receive(chunk: Buffer): void {
    const { server, toClient, guarded } = this.#session
    const { recorder } = guarded
    toClient.recorder = recorder
    toClient.reader.push(chunk)
    if (recorder) recorder.answering = true
    const ended = this.#process() === 'end'
    if (recorder) recorder.answering = false
    if (ended) return
    this.#results.flushRows()
    toClient.write()
    this.#results.meter()
    if (this.#mustWait()) server.socket.pause()
    this.#session.idle()
  }

  /** The client has taken what there was. */
  resume(): void {
    if (!this.#mustWait()) this.#session.server.socket.resume()
  }

  /** Whether nothing more is to come now: the client, or who records the session, is behind. */
  #mustWait(): boolean {
    const { client, guarded } = this.#session
    if (client.writableNeedDrain) return true
    const recorded = guarded.recorder?.ready()
    void recorded?.then(() => this.resume())
    return recorded !== undefined
  }

  #process(): 'end' | undefined {
    const { toClient } = this.#session
    const { reader } = toClient
    while (!this.#session.closed) {
      reader.streaming = !this.#results.mustSeeRows()
      const result = reader.next()
      if (result === 'more') return undefined
      if (result === 'error')
        return this.#session.fail(
          '08P01',
          `the server sent something that is not the PostgreSQL protocol: ${reader.problem}`,
        )
      const verdict = result === 'piece' ? this.#results.piece() : this.#message()
      if (verdict === 'forward') {
        this.#results.flushRows()
        toClient.forward()
      } else toClient.skip()
      if (toClient.recorder?.unplaced) this.#mark(toClient.recorder, reader.type)
      if (verdict === 'end') return 'end'
    }
    return 'end'
  }

  #mark(recorder: SessionRecorder, type: number): void {
    recorder.mark(this.#session.toClient.ahead, type === fromServer.error || type === fromServer.ready)
  }

  #message(): ServerVerdict {
    const { type } = this.#session.toClient.reader
    switch (type) {
      case fromServer.dataRow:
        return this.#results.dataRow()
      case fromServer.parseComplete:
        return this.#answers.completes('parse')
      case fromServer.bindComplete:
        return this.#answers.completes('bind')
      case fromServer.closeComplete:
        return this.#answers.completes('close')
      case fromServer.commandComplete:
        return this.#answers.commandComplete()
      case fromServer.ready:
        return this.#answers.ready()
      case fromServer.rowDescription:
        return this.#rowDescription()
      case fromServer.noData:
        return this.#answers.completes('describe')
      case fromServer.parameterDescription:
        return this.#answers.parameterDescription()
      case fromServer.error:
        return this.#answers.error()
      case fromServer.notice:
        return this.#messages.notice(this.#results.currentRun())
      case fromServer.parameterStatus:
        return this.#messages.parameterStatus()
      case fromServer.notification:
        return this.#messages.notification()
      case fromServer.emptyQuery:
        return this.#answers.emptyQuery()
      case fromServer.portalSuspended:
        return this.#answers.portalSuspended()
      case fromServer.copyData:
        return this.#results.copyData()
      case fromServer.copyIn:
        return this.#answers.copyIn()
      case fromServer.copyOut:
        return this.#results.copyOut()
      case fromServer.copyDone:
        return this.#results.muted ? 'drop' : 'forward'
      case fromServer.functionResult:
        return this.#answers.functionResult()
      default:
        return this.#session.unexpected()
    }
  }

  #rowDescription(): ServerVerdict {
    return this.#session.operations.head?.kind === 'describe'
      ? this.#answers.described()
      : this.#results.rowDescription()
  }
}

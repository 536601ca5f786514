/** What comes from the client: a stream of messages, each of which goes on, is replaced, is dropped or waits. */
import { fromClient } from '../codec/types.ts'
import { ExtendedQuery } from './extended-query.ts'
import type { Session } from './session.ts'
import { SimpleQuery } from './simple-query.ts'

/**
 * What becomes of a message: it goes on as it is; it has been dealt with; the session is over; or it is looked at
 * again, when a promise is settled or when everything that was sent has been answered.
 */
export type ClientVerdict = 'forward' | 'done' | 'end' | 'wait' | Promise<void>

/** What a client may send ahead while one of its commands is held. */
const maximumUnread = 256 * 1024

export class ClientSide {
  readonly #session: Session
  readonly #extended: ExtendedQuery
  /** What needs the session's state to be known, by the message's type. */
  readonly #commands: ReadonlyMap<number, () => ClientVerdict>
  #waiting = false

  constructor(session: Session) {
    const simple = new SimpleQuery(session)
    const extended = new ExtendedQuery(session)
    this.#session = session
    this.#extended = extended
    this.#commands = new Map([
      [fromClient.query, () => simple.query()],
      [fromClient.functionCall, () => simple.functionCall()],
      [fromClient.parse, () => extended.parse()],
      [fromClient.bind, () => extended.bind()],
      [fromClient.describe, () => extended.describe()],
      [fromClient.execute, () => extended.execute()],
      [fromClient.close, () => extended.close()],
    ])
  }

  receive(chunk: Buffer): void {
    const { toServer, holding, client } = this.#session
    this.#session.receivedAt = performance.now()
    toServer.reader.push(chunk)
    if (holding.asking) {
      // read on only to hear of the client's end
      if (toServer.reader.hasUnread(fromClient.terminate)) this.#session.end()
      else if (toServer.reader.unread > maximumUnread) client.pause()
    } else this.#process()
  }

  /** Something that may have been waited for has happened. */
  resume(): void {
    const { client, server } = this.#session
    if (client.isPaused() && !server.socket.writableNeedDrain) this.#process()
  }

  #process(): void {
    const { client, server, toServer, holding } = this.#session
    if (this.#waiting || this.#session.closed) return
    const stopped = this.#messages()
    if (stopped === 'end') return
    toServer.write()
    const stops = stopped && !holding.asking
    if (stops || server.socket.writableNeedDrain || toServer.reader.unread > maximumUnread) client.pause()
    else if (client.isPaused()) client.resume()
    if (stopped instanceof Promise) this.#waitFor(stopped)
  }

  /** Works off what is there. @returns why it stopped before the end of it. */
  #messages(): 'end' | 'wait' | Promise<void> | undefined {
    const session = this.#session
    const { toServer } = session
    const { reader } = toServer
    for (;;) {
      const { busy } = session
      if (busy) return busy
      const result = reader.next()
      if (result === 'more') return undefined
      if (result === 'error') return session.fail('08P01', reader.problem)
      const verdict = this.#message()
      if (verdict === 'forward' || verdict === 'done') session.holding.messageIsOver()
      if (verdict === 'forward') toServer.forward()
      else {
        toServer.skip()
        if (verdict === 'done') continue
        if (verdict !== 'end') reader.rewind()
        return verdict
      }
    }
  }

  #waitFor(promise: Promise<void>): void {
    this.#waiting = true
    void promise
      .catch(() => {})
      .then(() => {
        this.#waiting = false
        this.#process()
      })
  }

  #message(): ClientVerdict {
    const session = this.#session
    const { type } = session.toServer.reader
    if (type === fromClient.terminate) return session.end()
    if (session.copyingIn) return this.#duringCopy(type)
    // what the server would take for data, or throw away, must not stand in the line of what it answers
    if (session.copyIsDue) return 'wait'
    if (isCopy(type)) return 'done'
    if (type === fromClient.sync) return this.#extended.sync()
    if (session.discarding) return 'done'
    if (type === fromClient.flush) return 'forward'
    const answer = this.#commands.get(type)
    return answer ? (session.admission.unsettled() ?? answer()) : session.malformed()
  }

  /** The server ignores Flush and Sync, and gives up on everything that is no part of COPY. */
  #duringCopy(type: number): ClientVerdict {
    const session = this.#session
    if (type === fromClient.copyData) {
      const { buffer, start, end } = session.toServer.reader
      session.guarded.recorder?.input(buffer.subarray(start + 5, end))
      return 'forward'
    }
    if (type === fromClient.flush || type === fromClient.sync) return 'done'
    if (isCopy(type)) {
      session.copyingIn = false
      return 'forward'
    }
    return session.fail('08P01', `unexpected message ${String.fromCharCode(type)} during COPY FROM STDIN`)
  }
}

/** Outside of COPY the server ignores these, and nothing is expected back. */
function isCopy(type: number): boolean {
  return type === fromClient.copyData || type === fromClient.copyDone || type === fromClient.copyFail
}

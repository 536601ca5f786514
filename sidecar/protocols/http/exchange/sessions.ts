/** The sessions of one connection: one for each identity and role that its requests are from. */
import { newReference } from '../../../audit/reference.ts'
import type { Gateway, GuardedSession, Refusal, Result } from '../../../session.ts'
import type { Identification } from './identification.ts'

type Opened = Result<GuardedSession, Refusal>

/** A client that shows more on one connection tries tokens out. */
const maximumSessions = 8

export class ConnectionSessions implements Disposable {
  readonly #gateway: Gateway
  readonly #remoteAddress: string
  readonly #opening = new Map<string, Promise<Opened>>()
  readonly #opened = new Map<string, GuardedSession>()
  readonly #running = new Map<GuardedSession, number>()
  #closed = false

  constructor(gateway: Gateway, remoteAddress: string) {
    this.#gateway = gateway
    this.#remoteAddress = remoteAddress
  }

  /** @returns at once where the session is open already. One that has ended is opened anew, if it may be. */
  of({ role, token }: Identification): GuardedSession | Promise<Opened> {
    const key = `${role ?? ''}\n${token ?? ''}`
    const open = this.#opened.get(key)
    if (open && !open.signal.aborted) return open
    let opening = this.#opening.get(key)
    if (!opening) {
      opening = this.#open(key, {
        ...(role !== undefined && { role }),
        ...(token !== undefined && { token }),
      })
      this.#opening.set(key, opening)
      void opening.finally(() => this.#opening.delete(key))
    }
    return opening
  }

  /** While a request of a session runs, it is not idle. */
  began(session: GuardedSession): void {
    this.#running.set(session, (this.#running.get(session) ?? 0) + 1)
  }

  ended(session: GuardedSession): void {
    const running = (this.#running.get(session) ?? 1) - 1
    if (running > 0) {
      this.#running.set(session, running)
      return
    }
    this.#running.delete(session)
    // a session ends when its last command has its line
    if (this.#closed || session.signal.aborted) session[Symbol.dispose]()
  }

  /** The client is gone. */
  [Symbol.dispose](): void {
    this.#closed = true
    for (const session of this.#opened.values()) if (!this.#running.has(session)) session[Symbol.dispose]()
  }

  async #open(key: string, identification: Identification): Promise<Opened> {
    const gateway = this.#gateway
    if (this.#opened.size + this.#opening.size >= maximumSessions && !this.#opened.has(key))
      return refused('too many identities have shown themselves on one connection')
    const opened = await gateway.open({ remoteAddress: this.#remoteAddress, ...identification })
    if (!opened.ok) return opened
    const session = opened.value
    if (this.#closed) {
      session[Symbol.dispose]()
      return refused('the connection is closed')
    }
    session.busy = () => this.#running.has(session)
    session.signal.addEventListener('abort', () => {
      if (!this.#running.has(session)) session[Symbol.dispose]()
    })
    this.#opened.set(key, session)
    return opened
  }
}

function refused(message: string): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: { code: 'forbidden', message, reference: newReference() } }
}

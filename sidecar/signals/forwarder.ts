/** Tells the operator of signals, so that people hear of them who read no audit trail. Never holds anything up. */
import { setTimeout as pause } from 'node:timers/promises'
import { Signals, Wake } from '@firebreak/xds'
import type { Notices } from '../audit/lines.ts'
import type { OperatorCalls } from '../control/calls.ts'

type SignalLine = Notices['signal']

/** Signals that wait to be told: each is told once within its window. */
const maximumWaiting = 256
/** How long the end waits for what is still to be told. In milliseconds. */
const closeWithin = 1_000

export class SignalForwarder implements AsyncDisposable {
  readonly #operator: OperatorCalls
  /** One could not be told. It is in the audit trail all the same. */
  readonly #lost: (reason: string) => void
  readonly #waiting: SignalLine[] = []
  readonly #wake = new Wake()
  readonly #ended = new AbortController()
  readonly #working: Promise<void>
  #closing = false

  constructor(operator: OperatorCalls, lost: (reason: string) => void) {
    this.#operator = operator
    this.#lost = lost
    this.#working = this.#work()
  }

  tell(signal: SignalLine): void {
    if (this.#waiting.length >= maximumWaiting) this.#lost('too many wait to be told')
    else this.#waiting.push(signal)
    this.#wake.call()
  }

  /** Gives what waits a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    this.#wake.call()
    await Promise.race([this.#working, pause(closeWithin, undefined, { ref: false })])
    this.#ended.abort()
    await this.#working
    for (const _ of this.#waiting) this.#lost('the sidecar has stopped')
  }

  async #work(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted) {
      const [next] = this.#waiting
      if (next) await this.#deliver(next)
      else if (this.#closing) return
      else await this.#wake.wait()
    }
  }

  async #deliver(line: SignalLine): Promise<void> {
    const { signal } = this.#ended
    const message = Buffer.from(JSON.stringify(line))
    try {
      await this.#operator.call(
        Signals,
        (client, options) => client.tell({ signal: message }, options),
        signal,
      )
    } catch (error) {
      // what was not told by the end is still among those that wait
      if (signal.aborted) return
      this.#lost(error instanceof Error ? error.message : String(error))
    }
    this.#waiting.shift()
  }
}

/** Brings the lines of an outbox to their receiver, in order, again and again until it has them. */
import { setTimeout as pause } from 'node:timers/promises'
import { Wake } from '@firebreak/xds'
import { type ChainEnd, chainEnd } from '../chain.ts'
import type { Outbox } from './outbox.ts'
import { type Receiver, TooLargeError } from './receiver.ts'

/** In milliseconds; twice as long after each failure. */
const retryAfter = { first: 250, longest: 30_000 }
/** How long the end waits for what is still to be delivered: it is kept for the next start. */
const closeWithin = 3_000
/** Lines that wait for each other are sent together. */
const gatherFor = 100

export interface DeliveryEvents {
  /** A receiver does not take lines, which are kept meanwhile. Told once per failure. */
  readonly undelivered: (receiver: string, reason: string) => void
  /** It has all lines again. */
  readonly delivered: (receiver: string) => void
  /** It will never take some; of those that are too large for it, it is known which they are. */
  readonly rejected: (receiver: string, count: number, known: readonly ChainEnd[]) => void
}

export class Delivery implements AsyncDisposable {
  readonly #outbox: Outbox
  #receiver: Receiver
  readonly #events: DeliveryEvents
  readonly #wake = new Wake()
  readonly #abort = new AbortController()
  readonly #working: Promise<void>
  #closing = false

  constructor(outbox: Outbox, receiver: Receiver, events: DeliveryEvents) {
    this.#outbox = outbox
    this.#receiver = receiver
    this.#events = events
    outbox.onLines = this.#wake.call
    this.#working = this.#work()
  }

  /** Lines go there from now on. What the one before has under way may come there again. */
  async renew(receiver: Receiver): Promise<void> {
    const before = this.#receiver
    this.#receiver = receiver
    await before[Symbol.asyncDispose]()
  }

  /** Gives what waits a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    this.#wake.call()
    await Promise.race([this.#working, pause(closeWithin, undefined, { ref: false })])
    this.#abort.abort()
    await this.#working
    await this.#receiver[Symbol.asyncDispose]()
    await this.#outbox[Symbol.asyncDispose]()
  }

  async #work(): Promise<void> {
    const { signal } = this.#abort
    let failures = 0
    while (!signal.aborted) {
      try {
        const more = await this.#deliver()
        if (failures > 0) this.#events.delivered(this.#receiver.name)
        failures = 0
        if (more) continue
        if (this.#closing) return
        await this.#wake.wait()
        if (!this.#closing) await this.#pause(gatherFor)
      } catch (error) {
        if (signal.aborted) return
        if (failures === 0) this.#events.undelivered(this.#receiver.name, messageOf(error))
        await this.#pause(Math.min(retryAfter.longest, retryAfter.first * 2 ** failures))
        failures++
      }
    }
  }

  /** @returns whether there was anything to deliver. */
  async #deliver(): Promise<boolean> {
    const piece = await this.#outbox.next()
    if (piece.length === 0) return false
    const lines = piece.toString().split('\n').slice(0, -1)
    const { rejected, tooLarge } = await this.#send(lines)
    const known = tooLarge.filter((line) => !saysDropped(line))
    // of one that says so nothing more is said, or there would be no end
    if (!(lines.length === 1 && lines.every(saysDropped)) && rejected + known.length > 0)
      this.#events.rejected(
        this.#receiver.name,
        rejected + known.length,
        known.flatMap((line) => chainEnd(Buffer.from(line)) ?? []),
      )
    this.#outbox.delivered(piece.length)
    return true
  }

  /** What is larger than the receiver takes is sent in two halves, down to a single line. */
  async #send(lines: readonly string[]): Promise<Sent> {
    try {
      return { rejected: await this.#receiver.send(lines, this.#abort.signal), tooLarge: [] }
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error
      if (lines.length === 1) return { rejected: 0, tooLarge: lines }
      const half = Math.ceil(lines.length / 2)
      const first = await this.#send(lines.slice(0, half))
      const second = await this.#send(lines.slice(half))
      return {
        rejected: first.rejected + second.rejected,
        tooLarge: [...first.tooLarge, ...second.tooLarge],
      }
    }
  }

  /** Not all sidecars of a cluster are to come back at the same moment. */
  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#abort
    await pause(milliseconds * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {})
  }
}

/** What a receiver never gets. */
interface Sent {
  /** By what it says, without saying which. */
  readonly rejected: number
  /** Lines each of which is too large for it. */
  readonly tooLarge: readonly string[]
}

/** In text that somebody chose, the quotes would have backslashes. */
function saysDropped(line: string): boolean {
  return line.includes('"event":"audit.dropped"')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** When the next step of a replay is due: time passes at a speed, stands still, or goes on command by command. */
import type { Step } from '@firebreak/sidecar/recording/transcript/transcript.ts'

export interface PaceOptions {
  /** How many seconds of the session go by in one. */
  readonly speed: number
  /** Milliseconds. */
  readonly now: () => number
  /** Resolves after so many milliseconds, or when it is aborted. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>
}

const slowest = 1 / 16
const fastest = 1024

export class Pace {
  speed: number
  paused = false
  readonly #options: PaceOptions
  #steps = 0
  /** In the session, in microseconds; right at {@link #since}. */
  #position = 0
  #since = 0
  #woken = new AbortController()

  constructor(options: PaceOptions) {
    this.#options = options
    this.speed = options.speed
  }

  /** Time goes on from here. */
  start(microseconds: number): void {
    this.#position = microseconds
    this.#since = this.#options.now()
  }

  toggle(): void {
    this.#change(() => {
      this.paused = !this.paused
    })
  }

  /** The next command with its answer, and then no more. */
  step(): void {
    this.#change(() => {
      this.paused = true
      this.#steps++
    })
  }

  scale(factor: number): void {
    this.#change(() => {
      this.speed = Math.min(fastest, Math.max(slowest, this.speed * factor))
    })
  }

  /** Resolves when a step is due. What belongs to a command that was shown comes at once while time stands still. */
  async due({ kind, time }: Step, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.paused) {
        if (kind !== 'command') break
        if (this.#steps > 0) {
          this.#steps--
          break
        }
      }
      const wait = this.paused ? Number.POSITIVE_INFINITY : (time - this.#now()) / 1000 / this.speed
      if (wait <= 0) return
      await this.#options.sleep(wait, AbortSignal.any([this.#woken.signal, signal]))
    }
    this.start(time)
  }

  #now(): number {
    return this.#position + (this.#options.now() - this.#since) * 1000 * this.speed
  }

  /** Keeps the position over the change. */
  #change(change: () => void): void {
    if (!this.paused) this.#position = this.#now()
    this.#since = this.#options.now()
    change()
    this.#woken.abort()
    this.#woken = new AbortController()
  }
}

/** Keys that wait to be reconciled: each at most once, never twice at a time, failing ones less and less often. */

/** @returns after how many milliseconds to look again, if at all. */
export type Work = (key: string) => Promise<number | undefined>

export interface WorkQueueOptions {
  readonly concurrency: number
  /** Delay after a first failure in milliseconds; it doubles with each further one. */
  readonly firstDelay?: number
  readonly maximumDelay?: number
  readonly onError: (key: string, error: Error) => void
}

export class WorkQueue implements AsyncDisposable {
  readonly #work: Work
  readonly #options: Required<WorkQueueOptions>
  readonly #waiting = new Set<string>()
  readonly #running = new Map<string, Promise<void>>()
  /** Asked for again while they ran. */
  readonly #again = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly due: number }>()
  #ended = false

  constructor(work: Work, options: WorkQueueOptions) {
    this.#work = work
    this.#options = { firstDelay: 100, maximumDelay: 300_000, ...options }
  }

  /** How many keys wait for their turn. */
  get depth(): number {
    return this.#waiting.size
  }

  add(key: string): void {
    if (this.#ended) return
    this.#clearTimer(key)
    if (this.#running.has(key)) this.#again.add(key)
    else {
      this.#waiting.add(key)
      this.#runMore()
    }
  }

  /** An earlier time that was asked for stands. */
  addAfter(key: string, milliseconds: number): void {
    if (this.#ended) return
    const due = performance.now() + milliseconds
    if ((this.#timers.get(key)?.due ?? Number.POSITIVE_INFINITY) <= due) return
    this.#clearTimer(key)
    this.#timers.set(key, { timer: setTimeout(() => this.add(key), milliseconds), due })
  }

  /** Starts nothing more, and waits for what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    this.#waiting.clear()
    this.#again.clear()
    for (const key of this.#timers.keys()) this.#clearTimer(key)
    await Promise.all(this.#running.values())
  }

  #runMore(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.concurrency) return
      this.#waiting.delete(key)
      this.#running.set(key, this.#run(key))
    }
  }

  async #run(key: string): Promise<void> {
    try {
      const again = await this.#work(key)
      this.#failures.delete(key)
      if (again !== undefined) this.addAfter(key, again)
    } catch (error) {
      this.#options.onError(key, error instanceof Error ? error : new Error(String(error)))
      const failures = this.#failures.get(key) ?? 0
      this.#failures.set(key, failures + 1)
      this.addAfter(key, Math.min(this.#options.firstDelay * 2 ** failures, this.#options.maximumDelay))
    } finally {
      this.#running.delete(key)
      if (this.#again.delete(key)) this.add(key)
      this.#runMore()
    }
  }

  #clearTimer(key: string): void {
    clearTimeout(this.#timers.get(key)?.timer)
    this.#timers.delete(key)
  }
}

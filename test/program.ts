import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

/** Longest that anything takes on a busy machine, in milliseconds. */
const patience = 50_000
/** For the last words of one that is gone: somebody whom it started may keep its output open. */
const wordsAfterEnd = 5_000

/** A program in a process of its own: what it says, and its end. */
export class Program implements AsyncDisposable {
  protected readonly child: ChildProcess
  readonly #silent: Promise<unknown>
  #isSilent = false
  #log = ''

  constructor(child: ChildProcess) {
    this.child = child
    this.#silent = new Promise((resolve) => child.once('close', resolve)).then(() => {
      this.#isSilent = true
    })
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        this.#log = (this.#log + chunk).slice(-100_000)
      })
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** What it said so far. */
  get log(): string {
    return this.#log
  }

  /** @returns once it said that. @throws Error when it ends before, or says it too late. */
  async says(what: RegExp): Promise<RegExpExecArray> {
    const until = performance.now() + patience
    for (;;) {
      const found = what.exec(this.#log)
      if (found) return found
      if (this.#isSilent || performance.now() > until) throw new Error(`it never said ${what}:\n${this.#log}`)
      await delay(20)
    }
  }

  /** The next message of a forked one. @throws Error when it ends instead, or says none in time. */
  async message(): Promise<unknown> {
    const ended = (): never => {
      throw new Error(`it ended without a word: ${this.#log}`)
    }
    if (this.hasEnded) ended()
    const heard = new AbortController()
    const { signal } = heard
    try {
      return await Promise.race([
        once(this.child, 'message', { signal }).then(([message]) => message as unknown),
        once(this.child, 'exit', { signal }).then(ended),
        delay(patience, undefined, { signal }).then(() => {
          throw new Error(`it sent no message within ${patience} ms:\n${this.#log}`)
        }),
      ])
    } finally {
      heard.abort()
    }
  }

  /** Of a forked one. */
  send(message: object): void {
    this.child.send(message)
  }

  /**
   * @returns its exit code, once it is gone and all that it said is in {@link log}.
   * @throws Error when it goes on; then it is killed.
   */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    if (!this.hasEnded) {
      const exited = once(this.child, 'exit')
      let goesOn = false
      const late = setTimeout(() => {
        goesOn = true
        this.kill('SIGKILL')
      }, patience)
      this.kill(signal)
      await exited
      clearTimeout(late)
      if (goesOn) throw new Error(`it did not end within ${patience} ms of ${signal}:\n${this.#log}`)
    }
    await Promise.race([this.#silent, delay(wordsAfterEnd, undefined, { ref: false })])
    return this.child.exitCode
  }

  protected kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.child.kill(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL')
  }
}

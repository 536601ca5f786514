import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** A program in a process of its own: what it says, and its end. */
export class Program implements AsyncDisposable {
  protected readonly child: ChildProcess
  #log = ''

  constructor(child: ChildProcess) {
    this.child = child
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
    const until = performance.now() + 30_000
    for (;;) {
      const found = what.exec(this.#log)
      if (found) return found
      if (this.hasEnded || performance.now() > until) throw new Error(`it never said ${what}:\n${this.#log}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** The next message of a forked one. @throws Error when it ends instead. */
  async message(): Promise<unknown> {
    const heard = new AbortController()
    const { signal } = heard
    try {
      return await Promise.race([
        once(this.child, 'message', { signal }).then(([message]) => message as unknown),
        once(this.child, 'exit', { signal }).then(() => {
          throw new Error(`it ended without a word: ${this.#log}`)
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

  /** @returns its exit code, once it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    if (!this.hasEnded) {
      const exited = once(this.child, 'exit')
      this.kill(signal)
      await exited
    }
    return this.child.exitCode
  }

  protected kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.child.kill(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL')
  }
}

/** Processes that write audit trails, and what is read back of them. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('numbered-lines.ts', import.meta.url))
/** In seconds; a busy machine may take long for what takes a moment. */
const patience = 120

export interface WritingOptions {
  /** `-` is standard output; targets are JSON. */
  readonly path: string
  readonly onFailure?: 'block' | 'spool' | 'drop'
  readonly first?: number
  /** How many it makes at a time. */
  readonly together?: number
  /** Files can't grow beyond: RLIMIT_FSIZE, in units of 512 bytes. */
  readonly fileLimit?: number
}

/** A process that writes numbered lines. */
export class Writing {
  readonly child: ChildProcess
  /** Its exit code, once all that it said has come. */
  readonly ended: Promise<number | null>
  messages = ''

  constructor({ path, onFailure = 'block', first = 1, together = 5, fileLimit }: WritingOptions) {
    const words = [program, path, onFailure, String(first), String(together)]
    const stdio = ['ignore', path === '-' ? 'pipe' : 'ignore', 'pipe'] as const
    this.child =
      fileLimit === undefined
        ? spawn(process.execPath, words, { stdio: [...stdio] })
        : spawn('sh', ['-c', `ulimit -S -f ${fileLimit}; exec "$@"`, 'sh', process.execPath, ...words], {
            stdio: [...stdio],
          })
    const { child } = this
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.messages += text))
    const said = new Promise((resolve) => child.stderr?.once('close', resolve))
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    this.ended = said.then(() => exited)
  }

  /** How many lines it has made by now. */
  get made(): number {
    return Number(/^.*^at (\d+) /ms.exec(this.messages)?.[1] ?? 0)
  }

  /** How many lines it had made soon after it said that for the first time. */
  async madeAfter(text: string): Promise<number> {
    const after = (): string | undefined =>
      /^at (\d+) /m.exec(this.messages.split(text).slice(1).join(text))?.[1]
    await this.until(() => after() !== undefined)
    return Number(after())
  }

  async until(seen: (writing: this) => boolean, seconds = patience): Promise<void> {
    const { child } = this
    for (const until = performance.now() + seconds * 1000; !seen(this); await delay(10))
      assert.ok(
        performance.now() < until && child.exitCode === null && child.signalCode === null,
        `it never came: ${this.messages.slice(-500)}`,
      )
  }

  async says(text: string): Promise<void> {
    await this.until(({ messages }) => messages.includes(text))
  }

  /** It makes no more lines, though it goes on saying how many there are. */
  async standsStill(): Promise<void> {
    await this.#reports(2)
    const { made } = this
    await this.#reports(60)
    assert.equal(this.made, made, 'sessions wait')
  }

  /** Does something while none of its threads goes on. */
  async paused(act: () => void): Promise<void> {
    const { pid } = this.child
    const threads = `/proc/${pid}/task`
    const isStopped = (thread: string): boolean =>
      /\) T /.test(readFileSync(`${threads}/${thread}/stat`, 'utf8'))
    this.child.kill('SIGSTOP')
    await this.until(() => readdirSync(threads).every(isStopped))
    act()
    this.child.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }

  /** Ends it by SIGTERM. @returns how many lines it has made, and how many of them it says are lost. */
  async stop(): Promise<{ made: number; lost: number }> {
    this.child.kill('SIGTERM')
    assert.equal(await this.ended, 0, this.messages.slice(-500))
    const [, made, lost] = /^end (\d+) (\d+)$/m.exec(this.messages) ?? []
    return { made: Number(made), lost: Number(lost) }
  }

  /** Until it has said so many times more how many lines there are, which it does every 5 ms. */
  async #reports(count: number): Promise<void> {
    const said = (): number => this.messages.match(/^at /gm)?.length ?? 0
    const before = said()
    await this.until(() => said() >= before + count)
  }
}

/** What SIGKILL has cut is no line. */
export function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1)
}

/** @returns the numbers in whole lines. */
export function numbersIn(...texts: readonly string[]): number[] {
  const text = texts.join('')
  assert.ok(text === '' || text.endsWith('\n'), 'whole lines only')
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { event?: string; revision: string })
    .filter(({ event }) => event !== 'audit.start' && event !== 'audit.end')
    .map(({ revision }) => Number(revision))
}

/** One line for each number, in order. */
export function assertLines(numbers: readonly number[], from: number, to: number): void {
  const wrong = numbers.findIndex((number, index) => number !== from + index)
  assert.equal(wrong, -1, `line ${wrong} is ${numbers.slice(Math.max(0, wrong - 2), wrong + 3).join(', ')}`)
  assert.equal(numbers.length, to - from + 1)
}

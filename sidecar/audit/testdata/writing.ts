/** Processes that write audit trails, and what is read back of them. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('numbered-lines.ts', import.meta.url))

export interface WritingOptions {
  /** `-` is standard output; targets are JSON. */
  readonly path: string
  readonly onFailure?: 'block' | 'spool' | 'drop'
  readonly first?: number
  /** Files can't grow beyond: RLIMIT_FSIZE, in units of 512 bytes. */
  readonly fileLimit?: number
}

/** A process that writes numbered lines. */
export class Writing {
  readonly child: ChildProcess
  messages = ''

  constructor({ path, onFailure = 'block', first = 1, fileLimit }: WritingOptions) {
    const words = [program, path, onFailure, String(first)]
    const stdio = ['ignore', path === '-' ? 'pipe' : 'ignore', 'pipe'] as const
    this.child =
      fileLimit === undefined
        ? spawn(process.execPath, words, { stdio: [...stdio] })
        : spawn('sh', ['-c', `ulimit -S -f ${fileLimit}; exec "$@"`, 'sh', process.execPath, ...words], {
            stdio: [...stdio],
          })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.messages += text))
  }

  /** How many lines it has made by now. */
  get made(): number {
    return Number([...this.messages.matchAll(/^at (\d+) /gm)].at(-1)?.[1] ?? 0)
  }

  async until(seen: (writing: this) => boolean): Promise<void> {
    for (let turn = 0; !seen(this); turn++) {
      assert.ok(turn < 1_000 && this.child.exitCode === null, `it never came: ${this.messages.slice(-500)}`)
      await delay(10)
    }
  }

  async says(text: string): Promise<void> {
    await this.until(({ messages }) => messages.includes(text))
  }

  /** It makes no more lines. */
  async standsStill(): Promise<number> {
    await delay(300)
    const { made } = this
    await delay(300)
    assert.equal(this.made, made, 'sessions wait')
    return made
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await once(this.child, 'exit')
  }

  /** Ends it by SIGTERM. @returns how many lines it has made, and how many of them it says are lost. */
  async stop(): Promise<{ made: number; lost: number }> {
    const exit = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const [code] = await exit
    assert.equal(code, 0, this.messages.slice(-500))
    const [, made, lost] = /^end (\d+) (\d+)$/m.exec(this.messages) ?? []
    return { made: Number(made), lost: Number(lost) }
  }
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

/** Console sessions as documentation shows them, and a shell that they are typed into. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

export interface Typed {
  readonly command: string
  /** Lines; `…` stands for any text in a line, and alone for any lines. */
  readonly expected: readonly string[]
  /** Of the command, in the page. */
  readonly line: number
}

/** What a page's `console` blocks have people type, and what comes of it. */
export function consoleSessions(page: string): Typed[] {
  const typed: { command: string; expected: string[]; line: number }[] = []
  let inside = false
  for (const [index, line] of page.split('\n').entries())
    if (line.startsWith('```')) inside = line === '```console'
    else if (inside && line.startsWith('$ '))
      typed.push({ command: line.slice(2), expected: [], line: index + 1 })
    else if (inside) typed.at(-1)?.expected.push(line)
  return typed
}

/** Matches what a command prints when it is as the page says. */
export function patternOf({ expected }: Typed): RegExp {
  const quoted = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  const lines = trimmed(expected.join('\n')).split('\n')
  const patterns = lines.map((line) =>
    line === '…' ? '(?:.*\\n)*?' : `${line.split('…').map(quoted).join('.*')}\\n`,
  )
  return new RegExp(`^${patterns.join('')}$`)
}

/** Without spaces at the ends of lines, and empty lines at the end of all. */
export function trimmed(text: string): string {
  return text.replaceAll(/[ \t]+$/gm, '').trimEnd()
}

export class Terminal implements AsyncDisposable {
  readonly #shell: ChildProcessByStdio<Writable, Readable, null>
  #seen = ''
  #changed = Promise.withResolvers<void>()

  constructor(environment: Readonly<Record<string, string>>, directory: string) {
    this.#shell = spawn('bash', ['--noprofile', '--norc'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: environment,
      cwd: directory,
    })
    this.#shell.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#seen += text
      this.#wake()
    })
    this.#shell.once('exit', () => this.#wake())
    this.#shell.stdin.write('exec 2>&1\n')
  }

  /** @returns what it prints, errors too. @throws when the shell ends. */
  async type(command: string): Promise<string> {
    const end = randomUUID()
    this.#seen = ''
    this.#shell.stdin.write(`{ ${command}\n} < /dev/null\nprintf '%s\\n' ${end}\n`)
    while (!this.#seen.includes(end)) {
      if (this.#shell.exitCode !== null) throw new Error(`the shell ended: ${this.#seen}`)
      await this.#changed.promise
    }
    return this.#seen.slice(0, this.#seen.indexOf(end))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#shell.exitCode !== null) return
    this.#shell.stdin.end()
    await once(this.#shell, 'exit')
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

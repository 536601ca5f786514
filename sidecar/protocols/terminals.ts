/** Terminals of programs, and how what they show stands among recorded responses. */
import type { ResourceType } from '@firebreak/policy'

const withTerminals: ReadonlySet<ResourceType> = new Set(['kubernetes'])

/** The first of a program's response; what follows is what it wrote. */
export interface TerminalHead {
  /** False for a program that runs without a terminal. */
  readonly tty: boolean
}

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

const contentType = ['content-type', 'application/vnd.firebreak.terminal'] as const
const hasTerminal = ['terminal-tty', 'true'] as const

/** @returns the headers of a program's response, for {@link readTerminalHead}. */
export function terminalHead({ tty }: TerminalHead): readonly (readonly [string, string])[] {
  return [contentType, tty ? hasTerminal : [hasTerminal[0], 'false']]
}

/** @param first all of the first response that was recorded of a command. @returns undefined where it is no program's. */
export function readTerminalHead(protocol: ResourceType, first: Buffer): TerminalHead | undefined {
  const [status, ...headers] = first.toString('latin1').split('\n')
  if (!withTerminals.has(protocol) || status !== 'HTTP 101') return undefined
  return headers.includes(contentType.join(': '))
    ? { tty: headers.includes(hasTerminal.join(': ')) }
    : undefined
}

/** @returns what xterm takes for a new size, for {@link readResize}. */
export function writeResize({ columns, rows }: TerminalSize): Buffer {
  return Buffer.from(`\u001b[8;${rows};${columns}t`)
}

/** @returns the size that the client's terminal has from here on; undefined where the response is anything else. */
export function readResize(response: Buffer): TerminalSize | undefined {
  const sequence = response.toString('latin1')
  if (!sequence.startsWith('\u001b')) return undefined
  const [, rows, columns] = /^\[8;(\d{1,5});(\d{1,5})t$/.exec(sequence.slice(1)) ?? []
  return rows === undefined || columns === undefined
    ? undefined
    : { columns: Number(columns), rows: Number(rows) }
}

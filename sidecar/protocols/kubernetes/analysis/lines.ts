/** Input of a shell in a container, line by line: the exec that it is for, and each line, as commands of their own. */
import type { Command } from '@firebreak/policy'
import { factsOfText, withoutInput } from '../../shell/analysis.ts'
import { isInteractive, readsCommands } from '../../shell/programs.ts'
import type { Analysed } from './analyse.ts'
import { shellFactsOf } from './remote-command.ts'
import { impliedBy } from './subresources.ts'
import { touch } from './touches.ts'

/** @returns the exec of a shell with its input still to be decided; undefined for what isn't known to read lines. */
export function withLines({ command, remote }: Analysed): Command | undefined {
  if (!remote?.stdin || !readsCommands(remote.argv)) return undefined
  const touches = command.touches.filter(({ action }) => action !== 'k8s:stdin' && action !== 'k8s:shell')
  return { ...command, touches, facts: { ...command.facts, ...shellFactsOf(remote.argv) } }
}

/** Whether what runs is the exec of {@link withLines}. */
export function decidesLines(command: Command, { remote }: Analysed): boolean {
  return remote?.stdin === true && !command.touches.some(({ action }) => action === 'k8s:stdin')
}

/** Keys of a terminal, and what programs take of it, leave a shell with other lines than were sent; so do older lines and aliases. */
export function takesLinesAsSent({ remote }: Analysed): boolean {
  return remote !== undefined && !remote.tty && !isInteractive(remote.argv)
}

export interface ShellLine {
  readonly command: Command
  /** What the shell gets. */
  readonly bytes: Buffer
  /** What it does is told with certainty, and it leaves the shell at the beginning of a line. */
  readonly isKnown: boolean
}

/** @param text of the line, without its end. @param isCertain that the shell takes it as a line, and as what it says. */
export function shellLine(analysed: Analysed, text: string, bytes: Buffer, isCertain: boolean): ShellLine {
  const shell = isCertain ? factsOfText(text) : undefined
  return {
    command: lineCommand(analysed, text, shell ? { shell: { ...shell } } : {}),
    bytes: shell ? Buffer.from(withoutInput(text, shell)) : bytes,
    isKnown: shell !== undefined,
  }
}

function lineCommand({ command, objects }: Analysed, text: string, facts: Command['facts']): Command {
  const path = objects?.path ?? ['', '', '']
  const { k8s = {} } = command.facts
  return {
    ...command,
    text,
    touches: [touch('k8s:shell', path), ...impliedBy('k8s:shell', 'pods', path)],
    facts: { k8s, ...facts },
  }
}

/** Input of a shell in a container, line by line: the exec that it is for, and each line, as commands of their own. */
import type { Command } from '@firebreak/policy'
import { factsOfLine, factsOfText } from '../../shell/analysis.ts'
import { readsCommands } from '../../shell/programs.ts'
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

/** @param line without its end. @param isKnown whether the shell gets what it seems to be. */
export function lineCommand({ command, objects, remote }: Analysed, line: string, isKnown: boolean): Command {
  const path = objects?.path ?? ['', '', '']
  const shell = isKnown ? (remote?.tty ? factsOfLine(line) : factsOfText(line)) : undefined
  const { k8s = {} } = command.facts
  return {
    ...command,
    text: line,
    touches: [touch('k8s:shell', path), ...impliedBy('k8s:shell', 'pods', path)],
    facts: { k8s, ...(shell && { shell: { ...shell } }) },
  }
}

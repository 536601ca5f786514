#!/usr/bin/env node
/** `firebreak`: finds the command and runs it. Exit codes: 0 done, 1 the answer is no or something failed, 2 wrong use. */
import { closest } from '@firebreak/crds'
import { approvals } from './approvals/approvals.ts'
import { approve, deny, revoke } from './approvals/decide.ts'
import { requestAccess } from './approvals/request-access.ts'
import { check } from './check.ts'
import { cleanup } from './cleanup.ts'
import { type CliCommand, UsageError } from './command.ts'
import { completion } from './completion.ts'
import { contain } from './contain.ts'
import { delegate, delegations, revokeDelegation } from './delegation/delegate.ts'
import { demo } from './demo/demo.ts'
import { explain } from './explain.ts'
import { operator } from './operator.ts'
import { styleError } from './output.ts'
import { run } from './run.ts'
import { sidecar } from './sidecar.ts'

const version = '0.1.0'
const commands: readonly CliCommand[] = [
  run,
  check,
  explain,
  approvals,
  approve,
  deny,
  revoke,
  requestAccess,
  delegate,
  delegations,
  revokeDelegation,
  cleanup,
  contain,
  sidecar,
  operator,
  demo,
]
const all: readonly CliCommand[] = [...commands, completion(commands)]

function overview(): string {
  const lines = all.map(({ name, summary }) => `  ${name.padEnd(19)}${summary}`)
  return `Firebreak limits what an AI agent can break.

Usage: firebreak COMMAND [OPTIONS]

${lines.join('\n')}

firebreak COMMAND --help tells more. --version prints the version.`
}

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(overview())
    return name === undefined ? 2 : 0
  }
  if (name === '--version') {
    console.log(version)
    return 0
  }
  const command = all.find((candidate) => candidate.name === name)
  if (!command) {
    const names = all.map((candidate) => candidate.name)
    const near = closest(name, names)
    throw new UsageError(
      `there is no command ${name}; ${near ? `did you mean ${near}?` : `there are ${names.join(', ')}`}`,
    )
  }
  const separator = rest.indexOf('--')
  const options = separator < 0 ? rest : rest.slice(0, separator)
  if (options.includes('--help') || options.includes('-h')) {
    console.log(command.help)
    return 0
  }
  return await command.run(rest)
}

/** What was typed wrongly, with the option that was most likely meant; undefined when that was not the fault. */
function usageProblem(error: unknown, command: CliCommand | undefined): string | undefined {
  if (error instanceof UsageError) return error.message
  if (!(error instanceof Error) || !('code' in error)) return undefined
  if (typeof error.code !== 'string' || !error.code.startsWith('ERR_PARSE_ARGS')) return undefined
  const [, option = ''] = /^Unknown option '--([^']+)'/.exec(error.message) ?? []
  const near = closest(option, command?.options ?? [])
  // what Node adds about escaping would only be right for a word that begins with a dash
  const message = error.message.split('. To specify')[0] ?? error.message
  return near ? `${message}; did you mean --${near}?` : message
}

const words = process.argv.slice(2)
try {
  process.exitCode = await main(words)
} catch (error) {
  const command = all.find(({ name }) => name === words[0])
  const usage = usageProblem(error, command)
  const message = usage ?? (error instanceof Error ? error.message : String(error))
  console.error(`${styleError('red', 'error:')} ${message}`)
  if (usage !== undefined) console.error(`Try firebreak ${command ? `${command.name} ` : ''}--help.`)
  process.exitCode = usage === undefined ? 1 : 2
}

#!/usr/bin/env node
/** `firebreak`: finds the command and runs it. Exit codes: 0 done, 1 the answer is no or something failed, 2 wrong use. */
import { approvals } from './approvals/approvals.ts'
import { approve, deny, revoke } from './approvals/decide.ts'
import { check } from './check.ts'
import { type CliCommand, UsageError } from './command.ts'
import { completion } from './completion.ts'
import { demo } from './demo/demo.ts'
import { explain } from './explain.ts'
import { style } from './output.ts'
import { run } from './run.ts'

const version = '0.1.0'
const commands: readonly CliCommand[] = [run, check, explain, approvals, approve, deny, revoke, demo]
const all: readonly CliCommand[] = [...commands, completion(commands)]

function overview(): string {
  const lines = all.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`)
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
  if (!command)
    throw new UsageError(
      `there is no command ${name}; there are ${all.map((candidate) => candidate.name).join(', ')}`,
    )
  const separator = rest.indexOf('--')
  const options = separator < 0 ? rest : rest.slice(0, separator)
  if (options.includes('--help') || options.includes('-h')) {
    console.log(command.help)
    return 0
  }
  return await command.run(rest)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const usage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  console.error(`${style('red', 'error:')} ${error instanceof Error ? error.message : String(error)}`)
  if (usage) console.error('Try firebreak --help.')
  process.exitCode = usage ? 2 : 1
}

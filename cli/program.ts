/** Finds the command and runs it. Exit codes: 0 done, 1 the answer is no or something failed, 2 wrong use. */
import { inWords } from '@firebreak/sidecar/system-errors.ts'
import { type CliCommand, UsageError } from './command.ts'
import { styleError } from './output.ts'
import { version } from './version.ts'

/** Only the one that runs is loaded: an agent's pod waits for some of them to start. */
export type Commands = Readonly<Record<string, () => Promise<CliCommand>>>

export async function loadAll(commands: Commands): Promise<CliCommand[]> {
  return await Promise.all(Object.values(commands).map((load) => load()))
}

/** Runs what was typed, and sets the exit code. @param program as people type it. */
export async function runProgram(program: string, commands: Commands): Promise<void> {
  const words = process.argv.slice(2)
  try {
    process.exitCode = await run(program, commands, words)
  } catch (error) {
    const command = await find(commands, words[0])
    const usage = await usageProblem(error, command)
    const message = usage ?? failure(error)
    console.error(`${styleError('red', 'error:')} ${message}`)
    if (usage !== undefined) console.error(`Try ${[program, ...namesIn(words, command)].join(' ')} --help.`)
    process.exitCode = usage === undefined ? 1 : 2
  }
}

async function run(program: string, commands: Commands, words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(await overview(program, commands))
    return name === undefined ? 2 : 0
  }
  if (name === '--version') {
    console.log(version)
    return 0
  }
  const command = await find(commands, name)
  if (!command) {
    const names = Object.keys(commands)
    const near = await nearest(name, names)
    throw new UsageError(
      `there is no command ${name}; ${near ? `did you mean ${near}?` : `there are ${names.join(', ')}`}`,
    )
  }
  const separator = rest.indexOf('--')
  const options = separator < 0 ? rest : rest.slice(0, separator)
  if (options.includes('--help') || options.includes('-h')) {
    console.log((subcommandOf(command, rest) ?? command).help)
    return 0
  }
  return await command.run(rest)
}

function subcommandOf({ subcommands }: CliCommand, [name = '']: readonly string[]): CliCommand | undefined {
  return subcommands && Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
}

/** The words by which the help is found of what was typed. */
function namesIn(words: readonly string[], command: CliCommand | undefined): readonly string[] {
  if (!command) return []
  const subcommand = subcommandOf(command, words.slice(1))
  return subcommand ? [command.name, subcommand.name] : [command.name]
}

/** @returns the command of this name, where there is one. */
async function find(commands: Commands, name: string | undefined): Promise<CliCommand | undefined> {
  return name !== undefined && Object.hasOwn(commands, name) ? await commands[name]?.() : undefined
}

/** What was most likely meant. */
async function nearest(word: string, words: readonly string[]): Promise<string | undefined> {
  const { closest } = await import('@firebreak/crds')
  return closest(word, words)
}

async function overview(program: string, commands: Commands): Promise<string> {
  const lines = (await loadAll(commands)).map(({ name, summary }) => `  ${name.padEnd(19)}${summary}`)
  return `Firebreak limits what an AI agent can break.

Usage: ${program} COMMAND [OPTIONS]

${lines.join('\n')}

${program} COMMAND --help tells more. --version prints the version.`
}

/** What was typed wrongly, with the option that was most likely meant; undefined when that was not the fault. */
async function usageProblem(error: unknown, command: CliCommand | undefined): Promise<string | undefined> {
  if (error instanceof UsageError) return error.message
  if (!(error instanceof Error) || !('code' in error)) return undefined
  if (typeof error.code !== 'string' || !error.code.startsWith('ERR_PARSE_ARGS')) return undefined
  const [, option = ''] = /^Unknown option '--([^']+)'/.exec(error.message) ?? []
  const near = await nearest(option, command?.options ?? [])
  // what Node adds about escaping would only be right for a word that begins with a dash
  const message = error.message.split('. To specify')[0] ?? error.message
  return near ? `${message}; did you mean --${near}?` : message
}

/** What the system refuses is said of the file. */
function failure(error: unknown): string {
  const path = error instanceof Error ? (error as NodeJS.ErrnoException).path : undefined
  return path === undefined ? inWords(error) : `${path}: ${inWords(error)}`
}

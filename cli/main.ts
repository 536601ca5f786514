#!/usr/bin/env -S node --max-semi-space-size=2 --liftoff-only
/** `firebreak`: finds the command and runs it. Exit codes: 0 done, 1 the answer is no or something failed, 2 wrong use. */
import { inWords } from '@firebreak/sidecar/system-errors.ts'
import { type CliCommand, UsageError } from './command.ts'
import { completion } from './completion.ts'
import { styleError } from './output.ts'
import { version } from './version.ts'

/** Only the one that runs is loaded: an agent's pod waits for some of them to start. */
const commands: Readonly<Record<string, () => Promise<CliCommand>>> = {
  run: async () => (await import('./run.ts')).run,
  check: async () => (await import('./check.ts')).check,
  diff: async () => (await import('./diff/diff.ts')).diff,
  explain: async () => (await import('./explain.ts')).explain,
  export: async () => (await import('./export.ts')).exportCommand,
  test: async () => (await import('./testing/test.ts')).test,
  approvals: async () => (await import('./approvals/approvals.ts')).approvals,
  approve: async () => (await import('./approvals/decide.ts')).approve,
  deny: async () => (await import('./approvals/decide.ts')).deny,
  revoke: async () => (await import('./approvals/decide.ts')).revoke,
  suspended: async () => (await import('./approvals/resume.ts')).suspended,
  resume: async () => (await import('./approvals/resume.ts')).resume,
  'request-access': async () => (await import('./approvals/request-access.ts')).requestAccess,
  delegate: async () => (await import('./delegation/delegate.ts')).delegate,
  delegations: async () => (await import('./delegation/delegate.ts')).delegations,
  'revoke-delegation': async () => (await import('./delegation/delegate.ts')).revokeDelegation,
  sessions: async () => (await import('./sessions/sessions.ts')).sessions,
  replay: async () => (await import('./replay/replay.ts')).replay,
  cleanup: async () => (await import('./cleanup.ts')).cleanup,
  contain: async () => (await import('./contain.ts')).contain,
  audit: async () => (await import('./audit.ts')).audit,
  sidecar: async () => (await import('./sidecar.ts')).sidecar,
  operator: async () => (await import('./operator.ts')).operator,
  demo: async () => (await import('./demo/demo.ts')).demo,
  completion: async () => completion(await loadAll('completion')),
}

async function loadAll(except?: string): Promise<CliCommand[]> {
  const loaded = Object.entries(commands).filter(([name]) => name !== except)
  return await Promise.all(loaded.map(([, load]) => load()))
}

/** @returns the command of this name, where there is one. */
async function find(name: string | undefined): Promise<CliCommand | undefined> {
  return name !== undefined && Object.hasOwn(commands, name) ? await commands[name]?.() : undefined
}

/** What was most likely meant. */
async function nearest(word: string, words: readonly string[]): Promise<string | undefined> {
  const { closest } = await import('@firebreak/crds')
  return closest(word, words)
}

async function overview(): Promise<string> {
  const lines = (await loadAll()).map(({ name, summary }) => `  ${name.padEnd(19)}${summary}`)
  return `Firebreak limits what an AI agent can break.

Usage: firebreak COMMAND [OPTIONS]

${lines.join('\n')}

firebreak COMMAND --help tells more. --version prints the version.`
}

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(await overview())
    return name === undefined ? 2 : 0
  }
  if (name === '--version') {
    console.log(version)
    return 0
  }
  const command = await find(name)
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
    console.log(command.help)
    return 0
  }
  return await command.run(rest)
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

const words = process.argv.slice(2)
try {
  process.exitCode = await main(words)
} catch (error) {
  const command = await find(words[0])
  const usage = await usageProblem(error, command)
  const message = usage ?? failure(error)
  console.error(`${styleError('red', 'error:')} ${message}`)
  if (usage !== undefined) console.error(`Try firebreak ${command ? `${command.name} ` : ''}--help.`)
  process.exitCode = usage === undefined ? 1 : 2
}

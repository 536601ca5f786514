/** Runs the tests that node-postgres' packages ship, file by file, against a server that they know nothing about. */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Address } from '@firebreak/sidecar'

/** What became of each test by its name: undefined where it passed, else the first line of the reason. */
export type Results = Readonly<Record<string, string | undefined>>

export interface Suite {
  readonly name: string
  readonly directory: string
  /** @param patience how many times as much time those of its tests get that measure it. @returns the results of all tests of one file. */
  run(file: string, server: Address, patience: number): Promise<Results>
  readonly files: readonly string[]
}

const today = fileURLToPath(new URL('today.cjs', import.meta.url))
const slower = fileURLToPath(new URL('patience.cjs', import.meta.url))

/** They expect connections within 100 ms or less, by Node's clock alone. */
const hurried: readonly string[] = ['test/connection-timeout.js', 'test/events.js', 'test/idle-timeout.js']

/**
 * The driver's own suite, from the last version that shipped it: each file is a program that ends well or not.
 * @param programs directory of psql, which one of them runs
 */
export function driverSuite(nodeModules: string, programs: string): Suite {
  const directory = join(nodeModules, 'pg-4')
  const url = ({ host, port }: Address): string => `postgres://postgres@${host}:${port}/postgres`
  return {
    name: 'pg',
    directory,
    // the first of them makes the table that the others read
    files: [
      'script/create-test-tables.js',
      ...filesBelow(join(directory, 'test', 'integration'), '-tests.js').map((file) =>
        relative(directory, file),
      ),
    ],
    async run(file, server) {
      const { code, output } = await node(
        ['--require', today, file, url(server)],
        directory,
        server,
        programs,
      )
      const reason = /^Message: (.*)$/m.exec(output)?.[1] ?? /^.*Error.*$/m.exec(output)?.[0]
      return { [file]: code === 0 && reason === undefined ? undefined : (reason ?? `exit code ${code}`) }
    },
  }
}

/** A package whose tests are written for mocha. */
export function mochaSuite(nodeModules: string, name: string): Suite {
  const directory = join(nodeModules, name)
  return {
    name,
    directory,
    files: filesBelow(join(directory, 'test'), '.js').map((file) => relative(directory, file)),
    async run(file, server, patience) {
      const mocha = join(nodeModules, 'mocha', 'bin', 'mocha.js')
      const required = patience > 1 && hurried.includes(file) ? ['--require', slower] : []
      // their own bound of two seconds is for a machine that does nothing else
      const bound = ['--timeout', '60000']
      const words = [...required, mocha, '--exit', '--reporter', 'json', ...bound, file]
      const { output } = await node(words, directory, server, '', patience)
      const start = output.indexOf('{\n  "stats"')
      if (start < 0) return { [file]: `no report: ${output.slice(0, 1_000)}` }
      const { tests } = JSON.parse(output.slice(start)) as MochaReport
      return Object.fromEntries(
        tests.map(({ fullTitle, err }) => [`${file}: ${fullTitle}`, err.message?.split('\n')[0]]),
      )
    },
  }
}

interface MochaReport {
  readonly tests: readonly { readonly fullTitle: string; readonly err: { readonly message?: string } }[]
}

function filesBelow(directory: string, ending: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .sort()
    .map((file) => join(directory, file))
}

/** Where the tests don't name a server, the driver takes it from the environment. */
function node(
  words: readonly string[],
  directory: string,
  { host, port }: Address,
  programs = '',
  patience = 1,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['--no-deprecation', ...words], {
    cwd: directory,
    env: {
      PATH: `${programs}:${process.env.PATH}`,
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: 'postgres',
      PGDATABASE: 'postgres',
      PATIENCE: String(patience),
    },
    timeout: 240_000,
    killSignal: 'SIGKILL',
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk
    })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })))
}

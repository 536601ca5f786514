/** Finds the real client programs that tests run, or fetches them into a cache without touching the system. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'firebreak')

/** @returns the path of psql, pg_dump or pgbench. @throws Error that says what to install. */
export async function findClient(name: 'psql' | 'pg_dump' | 'pgbench'): Promise<string> {
  const onPath = (process.env.PATH ?? '')
    .split(':')
    .map((directory) => join(directory, name))
    .find(existsSync)
  if (onPath) return onPath
  try {
    return await unpacked(name)
  } catch (error) {
    throw new Error(
      `${name} is needed and could not be fetched (${error instanceof Error ? error.message : String(error)}). Install PostgreSQL's client programs, in Debian postgresql-client and postgresql-contrib.`,
    )
  }
}

/** Debian's packages, unpacked beside the cache of everything else; a small wrapper finds their libraries. */
async function unpacked(name: string): Promise<string> {
  const root = join(cache, 'postgresql-client')
  const wrapper = join(root, `run-${name}`)
  if (existsSync(wrapper)) return wrapper
  mkdirSync(cache, { recursive: true })
  const downloads = mkdtempSync(join(cache, 'apt-'))
  const state = [
    '-o',
    `Dir::State=${downloads}/state`,
    '-o',
    `Dir::Cache=${downloads}/cache`,
    '-o',
    'Dir::State::status=/var/lib/dpkg/status',
    '-o',
    'APT::Sandbox::User=',
  ]
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(downloads, part), { recursive: true })
  await run('apt-get', [...state, 'update'])
  const { stdout } = await run('apt-cache', [
    ...state,
    'depends',
    '--recurse',
    '--no-recommends',
    '--no-suggests',
    '--no-conflicts',
    '--no-breaks',
    '--no-replaces',
    '--no-enhances',
    'postgresql-client',
  ])
  const version = /postgresql-client-(\d+)/.exec(stdout)?.[1]
  const wanted = [
    `postgresql-client-${version}`,
    `postgresql-${version}`,
    'libpq5',
    'libldap-2.5-0',
    'libsasl2-2',
    'libreadline8',
    'libtinfo6',
    'libgssapi-krb5-2',
    'libkrb5-3',
    'libkrb5support0',
    'libk5crypto3',
    'libcom-err2',
    'libkeyutils1',
    'libssl3',
    'liblz4-1',
    'libzstd1',
  ]
  for (const deb of wanted)
    await run('apt-get', [...state, 'download', deb], { cwd: downloads }).catch(() => {})
  for (const deb of readdirSync(downloads).filter((file) => file.endsWith('.deb')))
    await run('dpkg', ['-x', join(downloads, deb), root])
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()
  const libraries = [`${root}/usr/lib/${machine}-linux-gnu`, `${root}/lib/${machine}-linux-gnu`].join(':')
  writeFileSync(
    wrapper,
    `#!/bin/sh\nLD_LIBRARY_PATH=${libraries} exec ${root}/usr/lib/postgresql/${version}/bin/${name} "$@"\n`,
    { mode: 0o755 },
  )
  await run(wrapper, ['--version'])
  return wrapper
}

/** @returns a Python with packages, in a virtual environment of its own. */
export async function python(packages: readonly string[]): Promise<string> {
  const directory = join(cache, `python-${packages.join('-').replaceAll(/\W+/g, '-')}`)
  const program = join(directory, 'bin', 'python')
  if (existsSync(join(directory, 'ready'))) return program
  try {
    await run('python3', ['-m', 'venv', directory])
    await run(program, ['-m', 'pip', 'install', '--quiet', ...packages])
  } catch (error) {
    throw new Error(
      `Python with ${packages.join(', ')} is needed and could not be set up (${error instanceof Error ? error.message : String(error)}). In Debian it takes python3 and python3-venv.`,
    )
  }
  writeFileSync(join(directory, 'ready'), '')
  return program
}

/** @returns the path of PostgreSQL's JDBC driver; it runs on the machine's JDK. */
export async function jdbcDriver(version = '42.7.4'): Promise<string> {
  const directory = join(cache, 'jdbc')
  const jar = join(directory, `postgresql-${version}.jar`)
  if (existsSync(jar)) return jar
  const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy'
  try {
    await run('mvn', [
      '-q',
      '-B',
      copy,
      `-Dartifact=org.postgresql:postgresql:${version}`,
      `-DoutputDirectory=${directory}`,
    ])
  } catch (error) {
    throw new Error(
      `The JDBC driver is needed and could not be fetched (${error instanceof Error ? error.message : String(error)}). It takes a JDK and Maven, in Debian default-jdk-headless and maven.`,
    )
  }
  return jar
}

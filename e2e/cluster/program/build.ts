/**
 * The program with every Kubernetes component: compiled once (minutes), then kept outside the checkout for as long as
 * its sources and locked modules stay the same.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { again, couldNotFetchModule } from '../../../tools/again.ts'
import { cacheDirectory } from '../directories.ts'
import { lockFile } from '../lock.ts'
import { type Progress, toStandardError } from '../progress.ts'
import { findGo } from './toolchain.ts'

const sources = fileURLToPath(new URL('../components', import.meta.url))
const programName = 'components'

/** What is kept of programs that earlier sources were compiled to. */
const programsKept = 2

export interface Program {
  /** Takes the component's name as its first argument. */
  readonly path: string
  /** The same program, which is kubectl under this name. */
  readonly kubectl: string
  /** What `pause` containers run. */
  readonly pause: string
  /** The CNI plugin that announces pods. */
  readonly podAddress: string
  /** Version of Kubernetes, such as v1.34.4. */
  readonly version: string
}

/**
 * @throws when Go can't be had or the compiler fails; its output is in the message.
 */
export async function buildProgram(progress: Progress = toStandardError): Promise<Program> {
  const version = kubernetesVersion()
  const directory = join(cacheDirectory('program'), sourcesHash())
  const program: Program = {
    path: join(directory, programName),
    kubectl: join(directory, 'kubectl'),
    pause: join(directory, 'pause'),
    podAddress: join(directory, 'pod-address'),
    version,
  }
  if (!existsSync(directory)) {
    await using _lock = await lockFile(`${directory}.lock`, progress)
    if (!existsSync(directory)) await compile(directory, version, progress)
  }
  const now = new Date()
  utimesSync(directory, now, now)
  removeOldPrograms()
  return program
}

function kubernetesVersion(): string {
  const version = /k8s\.io\/kubernetes (v\S+)/.exec(readFileSync(join(sources, 'go.mod'), 'utf8'))?.[1]
  if (version === undefined)
    throw new Error('e2e/cluster/components/go.mod does not require k8s.io/kubernetes')
  return version
}

function sourcesHash(): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(sources, { recursive: true, encoding: 'utf8' }).sort()) {
    if (/\.go$|^go\.(mod|sum)$/.test(name)) hash.update(`${name}\n`).update(readFileSync(join(sources, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

async function compile(directory: string, version: string, progress: Progress): Promise<void> {
  const started = Date.now()
  const go = await findGo(progress)
  progress(`Compiling the Kubernetes ${version} test cluster (once; minutes on a small machine) …`)
  const draft = `${directory}.${process.pid}`
  mkdirSync(draft, { recursive: true })
  try {
    const build = (sourcePackage: string, output: string): Promise<void> =>
      again(() => goBuild(go, sourcePackage, join(draft, output), version, progress), couldNotFetchModule)
    await build('.', programName)
    for (const name of ['pause', 'pod-address']) await build(`./${name}`, name)
    symlinkSync(programName, join(draft, 'kubectl'))
    renameSync(draft, directory)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  progress(`Compiled in ${Math.round((Date.now() - started) / 1000)} s.`)
}

async function goBuild(
  go: string,
  sourcePackage: string,
  output: string,
  version: string,
  progress: Progress,
): Promise<void> {
  const [major, minor] = version.slice(1).split('.')
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' }
  const settings = Object.entries(variables).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  )
  const compiler = spawn(
    go,
    ['build', '-v', '-trimpath', `-ldflags=-s -w ${settings.join(' ')}`, '-o', output, sourcePackage],
    { cwd: sources, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, CGO_ENABLED: '0' } },
  )
  const exited = new Promise<number | null>((resolve, reject) => {
    compiler.once('error', reject)
    compiler.once('close', resolve)
  })
  exited.catch(() => {})
  // with -v the compiler names each package it compiles and each module it fetches
  const lastLines: string[] = []
  let compiled = 0
  let fetched = 0
  const report = setInterval(
    () => progress(`  ${fetched} modules fetched, ${compiled} packages compiled`),
    20_000,
  )
  try {
    for await (const line of createInterface({ input: compiler.stderr })) {
      if (line.startsWith('go: downloading')) fetched++
      else compiled++
      lastLines.push(line)
      if (lastLines.length > 30) lastLines.shift()
    }
    if ((await exited) !== 0) throw new Error(`The test cluster does not compile:\n${lastLines.join('\n')}`)
  } finally {
    clearInterval(report)
  }
}

function removeOldPrograms(): void {
  const root = cacheDirectory('program')
  const programs = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^[0-9a-f]+$/.test(entry.name))
    .map(({ name }) => ({ name, used: statSync(join(root, name)).mtimeMs }))
    .sort((a, b) => b.used - a.used)
  for (const { name } of programs.slice(programsKept))
    rmSync(join(root, name), { recursive: true, force: true })
}

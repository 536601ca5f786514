/**
 * The programs of a node that aren't part of Kubernetes: containerd, runc, the CNI plugins, nft. The machine's own when
 * it has them; otherwise from its distribution's packages, unpacked into the cache and not installed.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, runCommand } from '../command.ts'
import { cacheDirectory } from '../directories.ts'
import type { Progress } from '../progress.ts'

export interface NodePrograms {
  /** What PATH and the search for shared libraries must be for them. */
  readonly environment: Readonly<Record<string, string>>
  /** Directory of the CNI plugins. */
  readonly cniPlugins: string
  /** Directory that holds the unpacked packages, as if they were installed below it. */
  readonly root: string
}

/** The package, by its name in Debian and Ubuntu, that has the program. */
const packages: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  'containerd-shim-runc-v2': 'containerd',
  runc: 'runc',
  nft: 'nftables',
  debootstrap: 'debootstrap',
}
const cniPackage = 'containernetworking-plugins'
const cniDirectories = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni']

export async function findNodePrograms(progress: Progress): Promise<NodePrograms> {
  const systemPath = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`
  const missing = Object.keys(packages).filter((program) => findProgram(program, systemPath) === undefined)
  const ownPlugins = cniDirectories.find((directory) => existsSync(join(directory, 'ptp')))
  const wanted = new Set(missing.map((program) => packages[program] ?? program))
  if (ownPlugins === undefined) wanted.add(cniPackage)
  const root = cacheDirectory('packages')
  if (wanted.size > 0) await unpackPackages([...wanted].sort(), missing, root, progress)
  const directories = ['usr/sbin', 'usr/bin', 'sbin', 'bin'].map((name) => join(root, name))
  return {
    root,
    cniPlugins: ownPlugins ?? join(root, 'usr/lib/cni'),
    environment: {
      PATH: [...systemPath.split(':'), ...directories].join(':'),
      LD_LIBRARY_PATH: libraryDirectories(root).join(':'),
      DEBOOTSTRAP_DIR: join(root, 'usr/share/debootstrap'),
    },
  }
}

async function unpackPackages(
  wanted: readonly string[],
  missing: readonly string[],
  root: string,
  progress: Progress,
): Promise<void> {
  const present = missing.every((program) =>
    ['usr/bin', 'usr/sbin'].some((path) => existsSync(join(root, path, program))),
  )
  if (present && existsSync(join(root, 'usr/lib/cni'))) return
  if (findProgram('apt-get') === undefined)
    throw new Error(`Please install ${wanted.join(', ')}: a node needs them`)
  progress(`Fetching ${wanted.join(', ')} (they are unpacked, not installed) …`)
  const draft = mkdtempSync(join(cacheDirectory(), 'packages-'))
  try {
    const names = await withDependencies(wanted, progress)
    await runCommand('apt-get', ['download', ...names], { directory: draft })
    const files = readdirSync(draft).filter((name) => name.endsWith('.deb'))
    const unpacked = join(draft, 'root')
    mkdirSync(unpacked)
    for (const file of files) await runCommand('dpkg-deb', ['-x', join(draft, file), unpacked])
    rmSync(root, { recursive: true, force: true })
    renameSync(unpacked, root)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** Those packages and what they need that isn't installed. */
async function withDependencies(wanted: readonly string[], progress: Progress): Promise<string[]> {
  const simulate = (): Promise<string> =>
    runCommand('apt-get', ['install', '--print-uris', '--no-install-recommends', '--yes', '-qq', ...wanted])
  const uris = await simulate().catch(async () => {
    progress('Updating the list of packages …')
    await runCommand('apt-get', ['update', '-qq'])
    return simulate()
  })
  return uris
    .split('\n')
    .filter((line) => line.startsWith("'"))
    .map((line) => line.split(' ')[1]?.split('_')[0] ?? '')
}

function libraryDirectories(root: string): string[] {
  const base = join(root, 'usr/lib')
  if (!existsSync(base)) return []
  return readdirSync(base)
    .filter((name) => name.endsWith('-linux-gnu'))
    .map((name) => join(base, name))
}

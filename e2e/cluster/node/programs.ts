/**
 * The programs of a node that aren't part of Kubernetes: containerd, runc, the CNI plugins, nft, and those that make images.
 * The machine's own when it has them; otherwise from its distribution's packages, unpacked into the cache and not installed.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { again } from '../../../tools/again.ts'
import { findProgram, runCommand } from '../command.ts'
import { cacheDirectory } from '../directories.ts'
import { lockFile } from '../lock.ts'
import type { Progress } from '../progress.ts'

export interface NodePrograms {
  /** What PATH and the search for shared libraries must be for them. */
  readonly environment: Readonly<Record<string, string>>
  /** Directory of the CNI plugins. */
  readonly cniPlugins: string
}

/** The package, by its name in Debian and Ubuntu, that has the program. */
const packages: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  'containerd-shim-runc-v2': 'containerd',
  runc: 'runc',
  nft: 'nftables',
  debootstrap: 'debootstrap',
  buildah: 'buildah',
}
const cniPackage = 'containernetworking-plugins'
const cniDirectories = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni']

export async function findNodePrograms(progress: Progress): Promise<NodePrograms> {
  const root = cacheDirectory('packages')
  const systemPath = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`
  const path = [systemPath, join(root, 'usr/sbin'), join(root, 'usr/bin')].join(':')
  const plugins = (): string | undefined =>
    [...cniDirectories, join(root, 'usr/lib/cni')].find((directory) => existsSync(join(directory, 'ptp')))
  const missing = (): Set<string> => {
    const programs = Object.entries(packages).filter(([program]) => findProgram(program, path) === undefined)
    return new Set([...programs.map(([, name]) => name), ...(plugins() === undefined ? [cniPackage] : [])])
  }
  if (missing().size > 0) {
    await using _lock = await lockFile(`${root}.lock`, progress)
    if (missing().size > 0) await unpackPackages([...missing()].sort(), root, progress)
  }
  const ownDebootstrap = findProgram('debootstrap', systemPath) === undefined
  return {
    cniPlugins: plugins() ?? '',
    environment: {
      PATH: path,
      LD_LIBRARY_PATH: libraryDirectories(root).join(':'),
      ...(ownDebootstrap ? { DEBOOTSTRAP_DIR: join(root, 'usr/share/debootstrap') } : {}),
    },
  }
}

/** Unpacks them as if the root were that of the system. */
async function unpackPackages(wanted: readonly string[], root: string, progress: Progress): Promise<void> {
  if (findProgram('apt-get') === undefined)
    throw new Error(`Please install ${wanted.join(', ')}: a node needs them`)
  progress(`Fetching ${wanted.join(', ')} (they are unpacked, not installed) …`)
  const archives = mkdtempSync(join(cacheDirectory(), 'packages-'))
  try {
    const download = async (): Promise<unknown> =>
      runCommand('apt-get', ['download', ...(await withDependencies(wanted, progress))], {
        directory: archives,
      })
    await download().catch(async () => {
      // what the list names may be gone: newer ones have replaced it
      await updateList(progress)
      await again(download)
    })
    for (const name of readdirSync(archives)) await runCommand('dpkg-deb', ['-x', join(archives, name), root])
  } finally {
    rmSync(archives, { recursive: true, force: true })
  }
}

/** Those packages and what they need that isn't installed. */
async function withDependencies(wanted: readonly string[], progress: Progress): Promise<string[]> {
  const simulate = (): Promise<string> =>
    runCommand('apt-get', ['install', '--print-uris', '--no-install-recommends', '--yes', '-qq', ...wanted])
  const uris = await simulate().catch(async () => {
    await updateList(progress)
    return simulate()
  })
  return uris
    .split('\n')
    .filter((line) => line.startsWith("'"))
    .map((line) => line.split(' ')[1]?.split('_')[0] ?? '')
}

async function updateList(progress: Progress): Promise<void> {
  progress('Updating the list of packages …')
  await again(() => runCommand('apt-get', ['update', '-qq']))
}

function libraryDirectories(root: string): string[] {
  const base = join(root, 'usr/lib')
  if (!existsSync(base)) return []
  return readdirSync(base)
    .filter((name) => name.endsWith('-linux-gnu'))
    .map((name) => join(base, name))
}

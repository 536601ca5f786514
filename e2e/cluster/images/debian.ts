/** The images that pods of the tests run: a minimal Debian, and one with the tools of an agent and of an attacker. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { again } from '../../../tools/again.ts'
import { runCommand } from '../command.ts'
import { cacheDirectory } from '../directories.ts'
import type { NodePrograms } from '../node/programs.ts'
import type { Progress } from '../progress.ts'
import { packLayer } from './layout.ts'

const suite = 'bookworm'
const mirror = 'http://deb.debian.org/debian'

export const toolPackages = [
  'ca-certificates',
  'curl',
  'dnsutils',
  'iproute2',
  'iputils-ping',
  'netcat-openbsd',
  'nftables',
  'postgresql-client',
  'procps',
  'python3',
]

/** Path of the layer of a minimal Debian. Made once, by root. */
export async function debianLayer(programs: NodePrograms, progress: Progress): Promise<string> {
  const layer = join(cacheDirectory('images'), `debian-${suite}.tar`)
  if (existsSync(layer)) return layer
  progress('Making a minimal Debian for the images (once) …')
  await again(async () => {
    await using root = await temporaryRoot()
    await runCommand('debootstrap', ['--variant=minbase', suite, root.path, mirror], {
      environment: programs.environment,
    })
    await removeCaches(root.path)
    await packLayer(root.path, layer, { keepOwners: true })
  })
  return layer
}

/** Path of a layer with these packages, on top of the minimal Debian. Made once, by root. */
export async function packagesLayer(
  packages: readonly string[],
  programs: NodePrograms,
  progress: Progress,
): Promise<string> {
  const key = createHash('sha256').update(packages.join(' ')).digest('hex').slice(0, 12)
  const layer = join(cacheDirectory('images'), `packages-${key}.tar`)
  if (existsSync(layer)) return layer
  const base = await debianLayer(programs, progress)
  progress(`Installing ${packages.join(', ')} into an image (once) …`)
  await again(() => installInto(layer, base, packages))
  return layer
}

async function installInto(layer: string, base: string, packages: readonly string[]): Promise<void> {
  await using root = await temporaryRoot()
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) =>
    join(root.path, name),
  )
  for (const directory of [lower, upper, work, merged]) mkdirSync(`${directory}`)
  await runCommand('tar', ['--extract', '--file', base, '--numeric-owner', '--directory', `${lower}`])
  // in mounts of its own, which end with the command
  await runCommand('unshare', ['--mount', 'sh', '-euc', installScript, 'sh', ...packages], {
    environment: {
      LOWER: lower,
      UPPER: upper,
      WORK: work,
      MERGED: merged,
      DEBIAN_FRONTEND: 'noninteractive',
    },
  })
  await removeCaches(`${upper}`)
  await packLayer(`${upper}`, layer, { keepOwners: true })
}

/** What packages remove of the base would be kept in an overlay as a device; in a layer it is a file by another name. */
const installScript = `
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$MERGED"
cp /etc/resolv.conf "$MERGED/etc/resolv.conf"
mount -t proc proc "$MERGED/proc"
mount --bind /dev "$MERGED/dev"
chroot "$MERGED" apt-get update -qq
chroot "$MERGED" apt-get install -y -qq --no-install-recommends "$@"
umount "$MERGED/dev" "$MERGED/proc"
umount "$MERGED"
rm -f "$UPPER/etc/resolv.conf"
find "$UPPER" -type c -exec sh -c 'for f; do rm "$f"; touch "$(dirname "$f")/.wh.$(basename "$f")"; done' sh {} +
`

async function removeCaches(root: string): Promise<void> {
  const directories = [
    'var/cache/apt',
    'var/lib/apt/lists',
    'var/log',
    'usr/share/doc',
    'usr/share/man',
    'usr/share/locale',
  ]
  for (const directory of directories) rmSync(join(root, directory), { recursive: true, force: true })
  for (const directory of ['var/cache/apt/archives/partial', 'var/lib/apt/lists/partial', 'var/log'])
    mkdirSync(join(root, directory), { recursive: true })
}

async function temporaryRoot(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = mkdtempSync(join(cacheDirectory(), 'root-'))
  return { path, [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true }) }
}

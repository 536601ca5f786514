/**
 * A containerd directory that already has the standard images. Unpacking them takes longer than the rest of a cluster's
 * start, so it is done once, and each node gets a copy whose files are links to the same contents: layers never change.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runCommand } from '../command.ts'
import { cacheDirectory } from '../directories.ts'
import { lockFile } from '../lock.ts'
import type { NodePrograms } from '../node/programs.ts'
import { ComponentProcess } from '../process.ts'
import type { Progress } from '../progress.ts'
import type { ImageDescription } from './layout.ts'
import { writeImages } from './standard.ts'

/** Path of the directory with these images. Made once, by root. */
export async function imageStore(
  images: readonly ImageDescription[],
  programs: NodePrograms,
  progress: Progress,
): Promise<string> {
  const stores = cacheDirectory('image-stores')
  const hash = createHash('sha256')
  for (const image of images) {
    hash.update(`${JSON.stringify(image)}\n`)
    for (const layer of image.layers) hash.update(`${statSync(layer).mtimeMs}\n`)
  }
  const store = join(stores, hash.digest('hex').slice(0, 12))
  if (existsSync(store)) return store
  await using _lock = await lockFile(`${stores}.lock`, progress)
  if (existsSync(store)) return store
  for (const name of readdirSync(stores)) rmSync(join(stores, name), { recursive: true, force: true })
  progress('Unpacking the images (once) …')
  const draft = mkdtempSync(join(stores, 'draft-'))
  await importImages(await writeImages(images, draft), join(draft, 'containerd'), programs)
  renameSync(join(draft, 'containerd'), store)
  rmSync(draft, { recursive: true, force: true })
  return store
}

/** Makes such a directory for one node. Databases are the only files in it that change in place. */
export async function copyImageStore(store: string, directory: string): Promise<void> {
  const linked = await runCommand('cp', ['--archive', '--link', store, directory]).catch(
    (error: Error) => error,
  )
  if (!(linked instanceof Error)) {
    const databases = (await runCommand('find', [store, '-name', '*.db', '-printf', '%P\\n']))
      .trim()
      .split('\n')
    for (const database of databases) {
      const copy = join(directory, database)
      rmSync(copy)
      await runCommand('cp', ['--archive', join(store, database), copy])
    }
    return
  }
  // another file system can't have links to these files
  rmSync(directory, { recursive: true, force: true })
  await runCommand('cp', ['--archive', store, directory])
}

async function importImages(
  archives: readonly string[],
  root: string,
  programs: NodePrograms,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-images-'))
  mkdirSync(root, { recursive: true })
  const socket = join(directory, 'containerd.sock')
  const config = join(directory, 'containerd.toml')
  writeFileSync(
    config,
    `version = 2
root = "${root}"
state = "${directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "${socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
`,
  )
  const containerd = ComponentProcess.start({
    name: 'containerd',
    command: 'containerd',
    args: ['--config', config],
    environment: programs.environment,
    logs: directory,
    outlivesParent: false,
  })
  const ctr = (...args: string[]): Promise<string> =>
    runCommand('ctr', ['--address', socket, ...args], { environment: programs.environment })
  try {
    while ((await ctr('version').catch(() => undefined)) === undefined) {
      if (!containerd.running) throw new Error(`containerd ended:\n${containerd.logTail()}`)
      await delay(100)
    }
    for (const archive of archives) await ctr('--namespace', 'k8s.io', 'images', 'import', archive)
  } finally {
    await containerd.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

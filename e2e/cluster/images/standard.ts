/** The images that every test cluster has. */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from '../directories.ts'
import { pauseImage } from '../node/files.ts'
import type { NodePrograms } from '../node/programs.ts'
import type { Program } from '../program/build.ts'
import type { Progress } from '../progress.ts'
import { debianLayer, packagesLayer, toolPackages } from './debian.ts'
import { packLayer, writeImage } from './layout.ts'

/** Debian with psql, python3, nft, curl, dig, nc and others: what an agent or an attacker may have. */
export const toolsImage = 'firebreak.test/tools:1'

/** The minimal Debian, under the name it has everywhere, for images that are built on it. */
export const debianImage = 'docker.io/library/debian:bookworm-slim'

/** Paths of archives with the standard images; those that aren't in the cache are made. */
export async function standardImages(
  program: Program,
  programs: NodePrograms,
  progress: Progress,
): Promise<string[]> {
  const base = await debianLayer(programs, progress)
  const tools = await packagesLayer(toolPackages, programs, progress)
  const archive = async (
    layers: readonly string[],
    name: string,
    command: readonly string[],
  ): Promise<string> => {
    const path = `${layers.at(-1)}.image`
    if (!existsSync(path)) await writeImage(path, { name, layers, command })
    return path
  }
  return [
    await archive([await pauseLayer(program)], pauseImage, ['/pause']),
    await archive([base], debianImage, ['bash']),
    await archive([base, tools], toolsImage, ['sleep', 'infinity']),
  ]
}

async function pauseLayer(program: Program): Promise<string> {
  const digest = createHash('sha256').update(readFileSync(program.pause)).digest('hex').slice(0, 12)
  const layer = join(cacheDirectory('images'), `pause-${digest}.tar`)
  if (existsSync(layer)) return layer
  const root = mkdtempSync(join(cacheDirectory(), 'root-'))
  try {
    copyFileSync(program.pause, join(root, 'pause'))
    await packLayer(root, layer)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
  return layer
}

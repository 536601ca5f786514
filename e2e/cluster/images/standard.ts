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
import { type ImageDescription, packLayer, writeImage } from './layout.ts'

/** Debian with psql, python3, nft, curl, dig, nc and others: what an agent or an attacker may have. */
export const toolsImage = 'firebreak.test/tools:1'

/** The minimal Debian, under the name it has everywhere, for images that are built on it. */
export const debianImage = 'docker.io/library/debian:bookworm-slim'

/** The standard images; layers that aren't in the cache are made. */
export async function standardImages(
  program: Program,
  programs: NodePrograms,
  progress: Progress,
): Promise<ImageDescription[]> {
  const base = await debianLayer(programs, progress)
  const tools = await packagesLayer(toolPackages, programs, progress)
  return [
    { name: pauseImage, layers: [await pauseLayer(program)], command: ['/pause'] },
    { name: debianImage, layers: [base], command: ['bash'] },
    { name: toolsImage, layers: [base, tools], command: ['sleep', 'infinity'] },
  ]
}

/** Writes an archive of each image into the directory, and returns their paths. */
export async function writeImages(images: readonly ImageDescription[], directory: string): Promise<string[]> {
  const paths: string[] = []
  for (const [index, image] of images.entries()) {
    const path = join(directory, `image-${index}.tar`)
    await writeImage(path, image)
    paths.push(path)
  }
  return paths
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

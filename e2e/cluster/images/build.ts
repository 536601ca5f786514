/** Images for tests: a directory on top of a minimal Debian. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from '../directories.ts'
import { findNodePrograms } from '../node/programs.ts'
import { type Progress, toStandardError } from '../progress.ts'
import { debianLayer, packagesLayer, toolPackages } from './debian.ts'
import { type ImageSettings, packLayer, writeImage } from './layout.ts'

export interface DebianImage extends ImageSettings {
  /** With its tag, such as firebreak.test/agent:1. Not `latest`, which nodes try to pull. */
  readonly name: string
  /** Whose contents become the image's root, above Debian's. */
  readonly contents: string
  /** Debian packages to install below it; the tools image's when not given. Each set is installed once and kept. */
  readonly packages?: readonly string[]
  /** Whether the archive has all layers, or not those that a test cluster's nodes have anyway (which is faster). */
  readonly complete?: boolean
  readonly progress?: Progress
}

/**
 * Writes the image as an archive, which `loadImage` of a cluster takes. Needs Linux and root.
 * @param path of the archive.
 */
export async function buildDebianImage(
  path: string,
  {
    name,
    contents,
    packages = toolPackages,
    complete = false,
    progress = toStandardError,
    ...settings
  }: DebianImage,
): Promise<void> {
  const programs = await findNodePrograms(progress)
  const layers = [await debianLayer(programs, progress)]
  if (packages.length > 0) layers.push(await packagesLayer(packages, programs, progress))
  const draft = mkdtempSync(join(cacheDirectory(), 'layer-'))
  try {
    const own = join(draft, 'layer.tar')
    await packLayer(contents, own)
    const standard = packages === toolPackages || packages.length === 0 ? layers.length : 1
    const omittedLayers = complete ? 0 : standard
    await writeImage(path, { name, layers: [...layers, own], omittedLayers, ...settings })
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** Container images as archives in the OCI image layout (https://github.com/opencontainers/image-spec). */
import { createHash } from 'node:crypto'
import {
  createReadStream,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { runCommand } from '../command.ts'

/** What its containers run by default; all as in a Dockerfile. */
export interface ImageSettings {
  readonly environment?: Readonly<Record<string, string>>
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  readonly user?: string
  readonly directory?: string
}

export interface ImageDescription extends ImageSettings {
  /** With its tag, such as firebreak.test/tools:1. */
  readonly name: string
  /** Paths of tar archives, the lowest first. */
  readonly layers: readonly string[]
  /** How many of the lowest are left out of the archive: whoever reads it must have them already. */
  readonly omittedLayers?: number
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const architecture = process.arch === 'x64' ? 'amd64' : process.arch

/** Packs the contents of a directory as a layer; all of it is root's unless it keeps its owners. */
export async function packLayer(directory: string, path: string, { keepOwners = false } = {}): Promise<void> {
  const draft = `${path}.${process.pid}`
  const owners = keepOwners ? [] : ['--owner=0', '--group=0']
  // not the directory itself: its mode would become that of the image's root
  const names = readdirSync(directory).map((name) => `./${name}`)
  await runCommand('tar', [
    '--create',
    `--file=${draft}`,
    '--numeric-owner',
    ...owners,
    '--sort=name',
    `--directory=${directory}`,
    ...names,
  ])
  renameSync(draft, path)
}

/** Writes an archive that `ctr images import`, `docker load` and others read. */
export async function writeImage(path: string, image: ImageDescription): Promise<void> {
  const draft = mkdtempSync(join(dirname(path), 'image-'))
  try {
    mkdirSync(join(draft, 'blobs/sha256'), { recursive: true })
    const layers: Descriptor[] = []
    for (const [index, layer] of image.layers.entries()) {
      const descriptor = await describeLayer(layer)
      if (index >= (image.omittedLayers ?? 0)) linkSync(layer, blobPath(draft, descriptor.digest))
      layers.push(descriptor)
    }
    const config = writeBlob(draft, 'application/vnd.oci.image.config.v1+json', {
      architecture,
      os: 'linux',
      config: {
        Env: Object.entries({ PATH: defaultPath, ...image.environment }).map(
          ([name, value]) => `${name}=${value}`,
        ),
        Entrypoint: image.entrypoint,
        Cmd: image.command,
        User: image.user,
        WorkingDir: image.directory,
      },
      // the layers aren't compressed: each one's digest is that of its contents as well
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
      // builders that use it as a base take none without
      history: layers.map(() => ({ created_by: 'firebreak tests' })),
    })
    const manifest = writeBlob(draft, 'application/vnd.oci.image.manifest.v1+json', {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config,
      layers,
    })
    const annotations = {
      'io.containerd.image.name': image.name,
      'org.opencontainers.image.ref.name': image.name.split(':').at(-1),
    }
    const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] }
    writeFileSync(join(draft, 'index.json'), JSON.stringify(index))
    writeFileSync(join(draft, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
    await packLayer(draft, path)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

async function describeLayer(layer: string): Promise<Descriptor> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(layer), hash)
  return {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: `sha256:${hash.digest('hex')}`,
    size: statSync(layer).size,
  }
}

function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', digest.replace(':', '/'))
}

function writeBlob(layout: string, mediaType: string, value: object): Descriptor {
  const contents = JSON.stringify(value)
  const digest = `sha256:${createHash('sha256').update(contents).digest('hex')}`
  writeFileSync(blobPath(layout, digest), contents)
  return { mediaType, digest, size: Buffer.byteLength(contents) }
}

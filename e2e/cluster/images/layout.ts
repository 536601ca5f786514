/** Container images as archives in the OCI image layout (https://github.com/opencontainers/image-spec). */
import { createHash } from 'node:crypto'
import {
  createReadStream,
  linkSync,
  mkdirSync,
  mkdtempSync,
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
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const architecture = process.arch === 'x64' ? 'amd64' : process.arch

/** Packs the contents of a directory as a layer. */
export async function packLayer(directory: string, path: string): Promise<void> {
  const draft = `${path}.${process.pid}`
  await runCommand('tar', [
    '--create',
    '--file',
    draft,
    '--numeric-owner',
    '--sort=name',
    '--directory',
    directory,
    '.',
  ])
  renameSync(draft, path)
}

/** Writes an archive that `ctr images import`, `docker load` and others read. */
export async function writeImage(path: string, image: ImageDescription): Promise<void> {
  const draft = mkdtempSync(join(dirname(path), 'image-'))
  try {
    mkdirSync(join(draft, 'blobs/sha256'), { recursive: true })
    const layers: Descriptor[] = []
    for (const layer of image.layers) layers.push(await linkBlob(draft, layer))
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

async function linkBlob(layout: string, layer: string): Promise<Descriptor> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(layer), hash)
  const digest = hash.digest('hex')
  linkSync(layer, join(layout, 'blobs/sha256', digest))
  return {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: `sha256:${digest}`,
    size: statSync(layer).size,
  }
}

function writeBlob(layout: string, mediaType: string, value: object): Descriptor {
  const contents = JSON.stringify(value)
  const digest = createHash('sha256').update(contents).digest('hex')
  writeFileSync(join(layout, 'blobs/sha256', digest), contents)
  return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(contents) }
}

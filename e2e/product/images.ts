/** The product's images for a test cluster: laid out by the script that the Dockerfile runs, on the cluster's own Debian. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { envoy } from '../../tools/clients.ts'
import { findBinaries } from '../../tools/postgres.ts'
import { cacheDirectory } from '../cluster/directories.ts'
import { buildDebianImage, type DebianImage } from '../cluster/images/build.ts'

const source = fileURLToPath(new URL('../..', import.meta.url))
const registry = 'firebreak.test'
const tag = 'checkout'

/** Values with which the chart uses these images. */
export const imageValues = {
  operator: { repository: `${registry}/operator`, tag },
  enforcer: { repository: `${registry}/enforcer`, tag },
  envoy: { repository: `${registry}/envoy`, tag },
  pullPolicy: 'Never',
} as const

/** PostgreSQL's programs; psql and the tools image's other packages are there as well. */
export const postgresImage = `${registry}/postgresql:${tag}`

/** Builds the images of this checkout, and Envoy's. Needs Linux and root. @returns paths of archives. */
export async function productImages(directory: string): Promise<readonly string[]> {
  return await inDraft(async (contents) => {
    const script = join(source, 'deploy/assemble.sh')
    const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter)
    await promisify(execFile)('sh', [script, source, contents], { env: { ...process.env, PATH } })
    const program = {
      contents,
      environment: {
        NODE_ENV: 'production',
        NODE_COMPILE_CACHE: '/opt/firebreak/compile-cache',
        NODE_COMPILE_CACHE_PORTABLE: '1',
      },
      user: '65532:65532',
      entrypoint: ['firebreak'],
    }
    return [
      await image(directory, { ...program, ...named('operator'), packages: [], command: ['operator'] }),
      await image(directory, {
        ...program,
        ...named('enforcer'),
        packages: ['nftables'],
        command: ['sidecar'],
      }),
      await envoyImage(directory),
    ]
  })
}

/** A real Envoy, with the entry point of its own images. */
async function envoyImage(directory: string): Promise<string> {
  const program = await envoy()
  return await inDraft(async (contents) => {
    const place = join(contents, 'usr/local/bin')
    mkdirSync(place, { recursive: true })
    cpSync(program, join(place, 'envoy'))
    const entrypoint = ['/usr/local/bin/envoy']
    return await image(directory, { ...named('envoy'), contents, packages: [], entrypoint })
  })
}

/** @returns the path of the archive of {@link postgresImage}. */
export async function buildPostgresImage(directory: string): Promise<string> {
  return await inDraft(async (contents) => {
    const place = join(contents, 'usr/local/postgresql')
    cpSync(dirname(findBinaries()), place, { recursive: true, verbatimSymlinks: true })
    const environment = {
      PATH: '/usr/local/postgresql/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    }
    return await image(directory, { name: postgresImage, contents, environment })
  })
}

function named(name: keyof Omit<typeof imageValues, 'pullPolicy'>): { readonly name: string } {
  const { repository } = imageValues[name]
  return { name: `${repository}:${tag}` }
}

async function image(directory: string, description: DebianImage): Promise<string> {
  const path = join(directory, `${description.name.replaceAll(/\W/g, '-')}.image`)
  await buildDebianImage(path, description)
  return path
}

async function inDraft<T>(use: (draft: string) => Promise<T>): Promise<T> {
  mkdirSync(cacheDirectory(), { recursive: true })
  const draft = mkdtempSync(join(cacheDirectory(), 'product-'))
  try {
    return await use(draft)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** The product's images for a test cluster: laid out by the script that the Dockerfile runs, on the cluster's own Debian. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheDirectory } from '../cluster/directories.ts'
import { buildDebianImage } from '../cluster/images/build.ts'

const source = fileURLToPath(new URL('../..', import.meta.url))
const registry = 'firebreak.test'
const tag = 'checkout'

/** Values with which the chart uses these images. */
export const imageValues = {
  operator: { repository: `${registry}/operator`, tag },
  enforcer: { repository: `${registry}/enforcer`, tag },
  pullPolicy: 'Never',
} as const

/** Builds the operator's and the enforcer's image from this checkout. Needs Linux and root. @returns paths of archives. */
export async function productImages(directory: string): Promise<{ operator: string; enforcer: string }> {
  mkdirSync(cacheDirectory(), { recursive: true })
  const contents = mkdtempSync(join(cacheDirectory(), 'product-'))
  try {
    const script = join(source, 'deploy/assemble.sh')
    const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter)
    await promisify(execFile)('sh', [script, source, contents], { env: { ...process.env, PATH } })
    const image = async (
      name: 'operator' | 'enforcer',
      packages: string[],
      command: string,
    ): Promise<string> => {
      const path = join(directory, `${name}.image`)
      await buildDebianImage(path, {
        name: `${registry}/${name}:${tag}`,
        contents,
        packages,
        environment: { NODE_ENV: 'production' },
        user: '65532:65532',
        entrypoint: ['firebreak'],
        command: [command],
      })
      return path
    }
    return {
      operator: await image('operator', [], 'operator'),
      enforcer: await image('enforcer', ['nftables'], 'sidecar'),
    }
  } finally {
    rmSync(contents, { recursive: true, force: true })
  }
}

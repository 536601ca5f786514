/** The official JSON schema of SARIF 2.1.0. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDirectory, madeOnce } from './cache.ts'
import { fetchNpmPackage, type NpmPackage } from './npm-package.ts'

const run = promisify(execFile)

/** Carries it as its editors published it. */
const carrier: NpmPackage = {
  name: '@microsoft/jest-sarif@1.0.0-beta.0',
  sha512: 'A1fOhPd6Ic5iDk4F9YPw1qNB4XF+7+IviR7xl8r2F6QzQkx5cpY9LsGk2rExiFIEcBbjpVnSmwWGBukASkiQ9A==',
}

const inside = 'package/lib/schemas/sarif-2.1.0-rtm.5.json'

/** Fetched once. */
export async function sarifSchema(): Promise<Record<string, unknown>> {
  const place = join(cacheDirectory, 'sarif-2.1.0.json')
  await madeOnce(
    place,
    async (draft) => {
      const archive = await fetchNpmPackage(carrier, draft)
      await run('tar', ['--extract', '--file', archive, '--directory', draft, inside])
    },
    inside,
  )
  return JSON.parse(readFileSync(place, 'utf8')) as Record<string, unknown>
}

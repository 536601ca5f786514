/** Files that only come in packages which nothing here depends on. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { again } from './again.ts'

const run = promisify(execFile)

export interface NpmPackage {
  /** With its version. */
  readonly name: string
  /** What the registry says of its contents. */
  readonly sha512: string
}

/** @returns the package's archive, in a directory. @throws Error when it can't be fetched, or is not what it was. */
export async function fetchNpmPackage({ name, sha512 }: NpmPackage, directory: string): Promise<string> {
  const words = ['pack', '--json', '--loglevel=error', name]
  const { stdout } = await again(() => run('npm', words, { cwd: directory }))
  const [{ filename } = { filename: '' }] = JSON.parse(stdout) as { filename: string }[]
  const archive = join(directory, filename)
  if (createHash('sha512').update(readFileSync(archive)).digest('base64') !== sha512)
    throw new Error(`${name} is not what it was`)
  return archive
}

/** Programs in Go for tests: compiled once from the Go module proxy's sources, then kept. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { lockFile } from '../e2e/cluster/lock.ts'
import { findGo } from '../e2e/cluster/program/toolchain.ts'
import { toStandardError } from '../e2e/cluster/progress.ts'
import { again, couldNotFetchModule } from './again.ts'
import { cacheDirectory, madeOnce } from './cache.ts'

const run = promisify(execFile)

export interface GoProgram {
  /** Directory with go.mod and go.sum; what is in them says which versions. */
  readonly sources: string
  /** The package to compile: `.` for that of the sources. */
  readonly main: string
  /** The name of the program. */
  readonly name: string
  /** What it is, in words. */
  readonly what: string
}

/** @returns the program's path. @throws Error that says what is needed. */
export async function compileOnce({ sources, main, name, what }: GoProgram): Promise<string> {
  const digest = createHash('sha256')
  for (const file of readdirSync(sources).sort()) digest.update(readFileSync(join(sources, file)))
  const place = join(cacheDirectory, `${basename(sources)}-${digest.digest('hex').slice(0, 12)}`)
  if (existsSync(place)) return join(place, name)
  mkdirSync(cacheDirectory, { recursive: true })
  // two that compile the same at once take twice as long
  await using _lock = await lockFile(`${place}.lock`, toStandardError)
  await madeOnce(place, async (draft) => {
    const go = await findGo(toStandardError)
    toStandardError(`Compiling ${what} (once; minutes on a small machine) …`)
    cpSync(sources, draft, { recursive: true })
    const words = ['build', '-trimpath', '-ldflags=-s -w', '-o', name, main]
    const options = { cwd: draft, env: { ...process.env, CGO_ENABLED: '0' } }
    await again(() => run(go, words, options), couldNotFetchModule)
  })
  return join(place, name)
}

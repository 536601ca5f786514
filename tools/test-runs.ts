/** Runs of mocha side by side. Each has its own closing counts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Ended } from './reporter.ts'

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')
const reporter = fileURLToPath(new URL('reporter.ts', import.meta.url))

/** More failed files than these are no matter of a busy machine. */
const fewFiles = 10

interface Run {
  readonly passed: boolean
  /** Files with tests that failed. */
  readonly failed: readonly string[]
}

/**
 * Runs side by side, whose programs take each other's time. Where few files fail, these alone are run once more: what fails
 * again counts, and what doesn't is named, since it depends on how busy the machine is and ought not to.
 *
 * @param groups words for mocha, for each run.
 * @returns whether all passed.
 */
export async function runTests(groups: readonly (readonly string[])[]): Promise<boolean> {
  const runs = await Promise.all(groups.map(run))
  if (runs.every(({ passed }) => passed)) return true
  const failed = runs.flatMap((each) => each.failed)
  const failedOtherwise = runs.some((each) => !each.passed && each.failed.length === 0)
  if (failedOtherwise || failed.length > fewFiles) return false
  console.log(`\nOnce more, alone: ${failed.join(', ')}`)
  const again = await run(failed)
  const steady = failed.filter((file) => !again.failed.includes(file))
  if (steady.length > 0) console.log(`failed beside others and passed alone: ${steady.join(', ')}`)
  return again.passed
}

async function run(words: readonly string[]): Promise<Run> {
  const child = spawn(process.execPath, [mocha, '--reporter', reporter, ...words], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  let failed: readonly string[] = []
  child.once('message', (ended) => {
    failed = (ended as Ended).failed.map((file) => relative(process.cwd(), file))
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { passed: code === 0, failed }
}

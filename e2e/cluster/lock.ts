/** One process at a time: a file that holds the process id of whoever has the lock. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { processExists } from './process.ts'
import type { Progress } from './progress.ts'

export async function lockFile(path: string, progress: Progress): Promise<AsyncDisposable> {
  for (let told = false; !take(path); await delay(200)) {
    if (!told) progress(`Waiting for another process (its id is in ${path}) …`)
    told = true
  }
  return { [Symbol.asyncDispose]: async () => rmSync(path, { force: true }) }
}

function take(path: string): boolean {
  try {
    writeFileSync(path, `${process.pid}`, { flag: 'wx' })
    return true
  } catch {
    if (!ownerIsAlive(path)) rmSync(path, { force: true })
    return false
  }
}

function ownerIsAlive(path: string): boolean {
  try {
    // a file just made is empty until its owner has written: then it is process 0, which exists
    return processExists(Number(readFileSync(path, 'utf8')))
  } catch {
    return false
  }
}

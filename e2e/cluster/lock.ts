/** One process at a time: a file that says which process has the lock. */
import { randomUUID } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { processExists, startOf } from './process.ts'
import type { Progress } from './progress.ts'

export async function lockFile(path: string, progress: Progress): Promise<AsyncDisposable> {
  for (let told = false; !take(path); await delay(200)) {
    if (!told) progress(`Waiting for another process (its id is in ${path}) …`)
    told = true
  }
  return { [Symbol.asyncDispose]: async () => rmSync(path, { force: true }) }
}

function take(path: string): boolean {
  if (write(path, `${process.pid} ${startOf(process.pid) ?? ''}`)) return true
  const owner = read(path)
  if (owner !== undefined && !isThere(owner)) remove(path, owner)
  return false
}

/** @returns whether there was none. */
function write(path: string, owner: string): boolean {
  try {
    writeFileSync(path, owner, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** A process of this id may be a later one: after a restart of the machine, or in another container. */
function isThere(owner: string): boolean {
  const [pid = '', started = ''] = owner.split(' ')
  // a file just made is empty until its owner has written: then it is process 0, which exists
  return started === '' ? processExists(Number(pid)) : startOf(Number(pid)) === started
}

/** Removes the lock of a process that was killed. Who is slower than another may have got that one's lock: it is put back. */
function remove(path: string, owner: string): void {
  const removed = `${path}.${randomUUID()}`
  try {
    renameSync(path, removed)
  } catch {
    return
  }
  const found = read(removed)
  if (found !== undefined && found !== owner) write(path, found)
  rmSync(removed, { force: true })
}

/** Keeps a second process out of a directory: each would run what people have approved once. */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export class ProcessLock implements Disposable {
  readonly #path: string

  /** @throws Error when another live process holds it. */
  static take(directory: string): ProcessLock {
    const path = join(directory, 'lock')
    for (let turn = 0; turn < 2; turn++) {
      try {
        const file = openSync(path, 'wx', 0o600)
        writeSync(file, JSON.stringify({ process: process.pid, started: startOf(process.pid) }))
        closeSync(file)
        return new ProcessLock(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        const holder = readHolder(path)
        if (holder !== undefined && isAlive(holder))
          throw new Error(`${directory} is in use by process ${holder.process}`)
        rmSync(path, { force: true })
      }
    }
    throw new Error(`${path} can't be taken`)
  }

  private constructor(path: string) {
    this.#path = path
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { force: true })
  }
}

interface Holder {
  readonly process: number
  readonly started: string | undefined
}

function readHolder(path: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Holder
  } catch {
    return undefined
  }
}

/** A number may have gone to another process since: it began at another time. */
function isAlive({ process: id, started }: Holder): boolean {
  if (id === process.pid) return started === startOf(id)
  try {
    process.kill(id, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return started === undefined || startOf(id) === started
}

/** Field 22 of /proc/PID/stat, where there is one. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function startOf(id: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

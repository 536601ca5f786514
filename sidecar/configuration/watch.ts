/** Watches a configuration directory. */
import { type FSWatcher, type Stats, statSync, watch } from 'node:fs'
import { stat } from 'node:fs/promises'

/** Editors and ConfigMap updates make several changes in a row: they count as one. */
const quietPeriod = 150
/** How often it is looked whether the path still leads to the directory that is watched, in milliseconds. */
const lookPeriod = 1_000

/**
 * Calls back after each burst of changes until it is disposed. The system watches a directory, not a path: one that is
 * put in the place of another, moved away or led to by another link is noticed by looking.
 */
export function watchDirectory(path: string, changed: () => void): Disposable {
  let quiet: NodeJS.Timeout | undefined
  const soon = (): void => {
    quiet ??= setTimeout(() => {
      quiet = undefined
      changed()
    }, quietPeriod)
  }
  // before it is watched: one that is put in its place in between is noticed then
  let watched = identityNow(path)
  let watcher = open(path, soon)
  let disposed = false
  const looking = setInterval(async () => {
    const found = await identityOf(path)
    if (disposed) return
    if (found !== watched) {
      watcher?.close()
      watcher = open(path, soon)
      soon()
    }
    watched = found
  }, lookPeriod)
  looking.unref()
  return {
    [Symbol.dispose]() {
      disposed = true
      clearInterval(looking)
      clearTimeout(quiet)
      watcher?.close()
    },
  }
}

function open(path: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, (_event, name) => {
      if (mayBeManifest(name)) changed()
    })
    // what was loaded stays in force
    watcher.on('error', () => {})
    return watcher
  } catch {
    // it is gone; looking finds what comes in its place
    return undefined
  }
}

/** Tells apart directories at the same path; the empty text is none. */
function identityNow(path: string): string {
  try {
    return identity(statSync(path))
  } catch {
    return ''
  }
}

/** A network file system may take its time. */
async function identityOf(path: string): Promise<string> {
  return await stat(path).then(identity, () => '')
}

function identity({ dev, ino }: Stats): string {
  return `${dev}:${ino}`
}

/** Not the audit trail or a password beside them, but also the links that a mounted ConfigMap is swapped by. */
function mayBeManifest(name: string | null): boolean {
  return name === null || /\.ya?ml$/.test(name) || name.startsWith('..')
}

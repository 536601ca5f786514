/** Watches a configuration directory. */
import { watch } from 'node:fs'

/** Editors and ConfigMap updates make several changes in a row: they count as one. */
const quietPeriod = 150

/** Calls back after each burst of changes until it is disposed. */
export function watchDirectory(directory: string, changed: () => void): Disposable {
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(directory, { persistent: false }, (_event, name) => {
    if (timer || !mayBeManifest(name)) return
    timer = setTimeout(() => {
      timer = undefined
      changed()
    }, quietPeriod)
  })
  // the directory itself may be replaced; what was loaded stays in force
  watcher.on('error', () => {})
  return {
    [Symbol.dispose]() {
      clearTimeout(timer)
      watcher.close()
    },
  }
}

/** Not the audit trail or a password beside them, but also the links that a mounted ConfigMap is swapped by. */
function mayBeManifest(name: string | null): boolean {
  return name === null || /\.ya?ml$/.test(name) || name.startsWith('..')
}

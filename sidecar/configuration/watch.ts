/** Watches a configuration directory. */
import { watch } from 'node:fs'

/** Editors and ConfigMap updates make several changes in a row: they count as one. */
const quietPeriod = 150

/** Calls back after each burst of changes until it is disposed. */
export function watchDirectory(directory: string, changed: () => void): Disposable {
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(directory, { persistent: false }, () => {
    clearTimeout(timer)
    timer = setTimeout(changed, quietPeriod)
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

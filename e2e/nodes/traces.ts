/** What is on the machine that a cluster with nodes makes or changes there. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../cluster/command.ts'
import { isClusterInterface } from '../cluster/node/network.ts'
import { findNodePrograms } from '../cluster/node/programs.ts'
import { toStandardError } from '../cluster/progress.ts'

export interface Traces {
  readonly processes: readonly string[]
  readonly mounts: readonly string[]
  readonly interfaces: readonly string[]
  readonly routes: readonly string[]
  readonly rules: string
  readonly controlGroups: readonly string[]
  readonly kernelSettings: string
}

/** All of it that is outside the cluster's own directories, at this moment; other work on the machine doesn't show. */
export async function traces(): Promise<Traces> {
  const links = JSON.parse(await runCommand('ip', ['-json', 'link', 'show'])) as { ifname: string }[]
  const routes = [await runCommand('ip', ['route', 'show']), await runCommand('ip', ['-6', 'route', 'show'])]
  const { environment } = await findNodePrograms(toStandardError)
  const settings = ['vm.overcommit_memory', 'vm.panic_on_oom', 'kernel.panic', 'kernel.panic_on_oops']
  return {
    processes: commandLines().filter((command) => /test-cluster\/cluster\/|10\.245\.0\.1/.test(command)),
    mounts: linesOf(readFileSync('/proc/self/mounts', 'utf8')).filter((line) =>
      /test-cluster|kubelet/.test(line),
    ),
    interfaces: links.map(({ ifname }) => ifname).filter(isClusterInterface),
    routes: linesOf(routes.join('')).filter((line) => /10\.24[45]\.|10\.96\.|fd00:10:/.test(line)),
    rules: await runCommand('nft', ['list', 'tables'], { environment }),
    controlGroups: directoriesIn('/sys/fs/cgroup').filter((name) => name.includes('firebreak-test')),
    kernelSettings: await runCommand('sysctl', settings),
  }
}

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
      } catch {
        // it has just ended
        return []
      }
    })
}

/** All that are below it. Pods that end take theirs away meanwhile. */
function directoriesIn(parent: string): string[] {
  try {
    return readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(parent, name))
      .flatMap((directory) => [directory, ...directoriesIn(directory)])
  } catch {
    return []
  }
}

function linesOf(text: string): string[] {
  return text.split('\n')
}

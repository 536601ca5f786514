/** What is on the machine that a cluster with nodes makes or changes there. */
import { readdirSync, readFileSync } from 'node:fs'
import { runCommand } from '../cluster/command.ts'

export interface Traces {
  readonly processes: readonly string[]
  readonly mounts: readonly string[]
  readonly interfaces: readonly string[]
  readonly routes: string
  readonly controlGroups: readonly string[]
  readonly kernelSettings: string
}

/** All of it that is outside the cluster's own directories, at this moment. */
export async function traces(): Promise<Traces> {
  const links = JSON.parse(await runCommand('ip', ['-json', 'link', 'show'])) as { ifname: string }[]
  return {
    processes: clusterProcesses(),
    mounts: readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => /firebreak|containerd|kubelet/.test(line)),
    interfaces: links.map(({ ifname }) => ifname),
    routes: (await runCommand('ip', ['route', 'show'])) + (await runCommand('ip', ['-6', 'route', 'show'])),
    controlGroups: readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' }).filter((name) =>
      /firebreak-test/.test(name),
    ),
    kernelSettings: await runCommand('sysctl', [
      'vm.overcommit_memory',
      'vm.panic_on_oom',
      'kernel.panic',
      'kernel.panic_on_oops',
    ]),
  }
}

function clusterProcesses(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
      } catch {
        return []
      }
    })
    .filter((command) => /containerd|kubelet|10\.245\.0\.1|network-policies\/main/.test(command))
}

/** What nodes change of the machine outside their own namespaces, so that it can be put back. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { controlGroup } from './files.ts'

/** The kubelet sets these, and they have no namespace. */
const kernelSettings = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
]

export type KernelSettings = Readonly<Record<string, string>>

export function readKernelSettings(): KernelSettings {
  const present = kernelSettings.filter((name) => existsSync(settingFile(name)))
  return Object.fromEntries(present.map((name) => [name, readFileSync(settingFile(name), 'utf8').trim()]))
}

export function restoreKernelSettings(settings: KernelSettings): void {
  for (const [name, value] of Object.entries(settings)) writeFileSync(settingFile(name), value)
}

function settingFile(name: string): string {
  return join('/proc/sys', name)
}

const hierarchies = '/sys/fs/cgroup'

/** The kubelet wants the group of its pods to exist. */
export function makeControlGroups(node: string): void {
  const unified = join(hierarchies, 'cgroup.subtree_control')
  if (existsSync(unified)) {
    const controllers = readFileSync(join(hierarchies, 'cgroup.controllers'), 'utf8').trim().split(' ')
    writeFileSync(unified, controllers.map((controller) => `+${controller}`).join(' '))
  }
  for (const group of controlGroups(node)) mkdirSync(group, { recursive: true })
}

/** Call it when all the node's processes have ended: the kernel may take a moment to notice. */
export async function removeControlGroups(node: string): Promise<void> {
  for (const group of controlGroups(node)) {
    for (let attempt = 0; existsSync(group) && !removeTree(group); attempt++) {
      if (attempt === 1200) throw new Error(`The control group ${group} is still in use`)
      await delay(50)
    }
  }
}

/** One in each hierarchy (cgroup v1), or just one (v2). */
function controlGroups(node: string): string[] {
  const name = controlGroup(node)
  if (existsSync(join(hierarchies, 'cgroup.controllers'))) return [join(hierarchies, name)]
  return readdirSync(hierarchies, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(hierarchies, entry.name, name))
}

/** Only empty groups can be removed, so the innermost first; their files go with them. */
function removeTree(group: string): boolean {
  try {
    for (const entry of readdirSync(group, { withFileTypes: true })) {
      if (entry.isDirectory() && !removeTree(join(group, entry.name))) return false
    }
    rmdirSync(group)
    return true
  } catch {
    return false
  }
}

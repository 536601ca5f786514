/** Who a user of the operating system is. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Approver } from './requirements.ts'

const run = promisify(execFile)

/** Who decides, often decides more than once. In milliseconds. */
const staysFor = 1_000
const asked = new Map<number, { readonly user: Promise<Approver>; readonly at: number }>()

/**
 * The name and the groups of a user, by the system's user database (`id`, so that directory services count as well).
 * A user that it does not know is `uid:N`, without groups.
 */
export function systemUser(uid: number): Promise<Approver> {
  const known = asked.get(uid)
  if (known && performance.now() - known.at < staysFor) return known.user
  const user = lookUp(uid)
  asked.set(uid, { user, at: performance.now() })
  return user
}

/**
 * The user that an agent runs as, by the UID of its process. One that runs as this process's own user can't be told from
 * whoever approves as that user.
 */
export async function agentUser(uid: number | undefined): Promise<string | undefined> {
  return uid === undefined || uid === process.getuid?.() ? undefined : (await systemUser(uid)).user
}

async function lookUp(uid: number): Promise<Approver> {
  try {
    const gnu = process.platform === 'linux'
    // somebody's name may be another's number: GNU takes only a number after a plus sign
    const user = (await ask('-un', gnu ? `+${uid}` : String(uid))).trim()
    // and names of groups may hold spaces
    const groups = (await ask(gnu ? '-Gnz' : '-Gn', user)).split(gnu ? '\0' : /\s+/)
    return { user, groups: groups.filter((group) => group !== '') }
  } catch {
    return { user: `uid:${uid}`, groups: [] }
  }
}

async function ask(option: string, user: string): Promise<string> {
  const { stdout } = await run('id', [option, '--', user], {
    timeout: 5_000,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
  })
  return stdout
}

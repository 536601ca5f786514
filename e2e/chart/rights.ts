/** Who may do what: as the documentation says it, as RBAC grants it, and as the audit log of the API server shows it used. */
import type { Kubectl } from '../cluster/kubectl.ts'

/** One verb on one resource, such as `patch namespaces` or `get leases.coordination.k8s.io firebreak-operator`. */
export type Right = string

/** Of the table under "Rights". @param place such as `cluster`, in the table's first column. */
export function documentedRights(page: string, places: readonly string[]): Set<Right> {
  const [, section = ''] = page.split('\n## Rights\n')
  const rows = section
    .split('\n## ')[0]
    ?.split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) => line.split('|').map((cell) => cell.trim()))
  return new Set(
    rows?.flatMap(([, place = '', resource = '', names = '', verbs = '']) =>
      places.includes(place) ? verbs.split(' ').map((verb) => right(verb, resource, names)) : [],
    ),
  )
}

/** All that an account may do in a namespace beyond what every account may, by `kubectl auth can-i --list`. */
export async function grantedRights(
  account: Kubectl,
  other: Kubectl,
  namespace: string,
): Promise<Set<Right>> {
  const listed = async (kubectl: Kubectl): Promise<Right[]> => {
    const text = await kubectl.run(['auth', 'can-i', '--list', '--no-headers', '--namespace', namespace])
    return text.split('\n').flatMap((line) => {
      const [, resource = '', urls = '', names = '', verbs = ''] =
        /^(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]$/.exec(line.trim()) ?? []
      return verbs.split(' ').flatMap((verb) => (verb ? [right(verb, resource || urls, names)] : []))
    })
  }
  const everybodys = new Set(await listed(other))
  return new Set((await listed(account)).filter((each) => !everybodys.has(each)))
}

interface AuditEvent {
  readonly verb: string
  readonly user: { readonly username: string }
  readonly objectRef?: {
    readonly resource: string
    readonly subresource?: string
    readonly apiGroup?: string
  }
  readonly responseStatus?: { readonly code?: number }
}

/** What a user did, without names of objects, and what was forbidden. @param log of the API server, a JSON line each. */
export function usedRights(log: string, username: string): { used: Set<Right>; forbidden: Set<Right> } {
  const [used, forbidden] = [new Set<Right>(), new Set<Right>()]
  // the last line may still be being written
  for (const line of log.split('\n').slice(0, -1)) {
    const { verb, user, objectRef, responseStatus } = JSON.parse(line) as AuditEvent
    if (user.username !== username || !objectRef) continue
    const { resource, apiGroup, subresource } = objectRef
    const done = right(
      verb,
      [resource, apiGroup].filter(Boolean).join('.') + (subresource ? `/${subresource}` : ''),
    )
    used.add(done)
    if (responseStatus?.code === 403) forbidden.add(done)
  }
  return { used, forbidden }
}

export function withoutName(granted: Right): Right {
  return granted.split(' ').slice(0, 2).join(' ')
}

function right(verb: string, resource: string, names = ''): Right {
  return [verb, resource, names].join(' ').trim()
}

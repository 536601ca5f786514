/** Whether a round of a probe is as it should be. Pure. */
import type { Reached, Round } from '../../probe/attempts.ts'
import type { Objection } from './check.ts'

/** Where a probe tries to come, and how it stands in the report. */
export interface Destination {
  readonly url: string
  readonly host: string
  readonly what: string
}

/** A round, by what was tried in it. */
export interface Seen {
  readonly reached: ReadonlyMap<string, Reached>
  readonly logins: Round['logins']
  readonly addresses: ReadonlySet<string>
}

/** @param tried in the order of the probe's arguments. */
export function seenIn({ reached, logins, resolved }: Round, tried: readonly Destination[]): Seen {
  return {
    reached: new Map(tried.flatMap(({ url }, index) => (reached[index] ? [[url, reached[index]]] : []))),
    logins,
    addresses: new Set(resolved.flat()),
  }
}

/** A pod that nothing holds: it reaches the pod that greets, and nothing that is shielded. */
export function objectionToStranger(
  greeting: readonly Destination[],
  shielded: readonly Destination[],
  seen: Seen,
): Objection | undefined {
  const open = connected(shielded, seen)
  return open.length > 0
    ? { outcome: 'failed', message: `a pod without a sidecar reaches ${inWords(open)}` }
    : objectionToOpenWay(greeting, seen)
}

/** What a network plugin holds back never connects. */
export function objectionToConfined(greeting: readonly Destination[], seen: Seen): Objection | undefined {
  const open = connected(greeting, seen)
  return open.length > 0
    ? { outcome: 'failed', message: `a pod whose policy lets it go nowhere still reaches ${inWords(open)}` }
    : undefined
}

export function objectionToOpenWay(greeting: readonly Destination[], seen: Seen): Objection | undefined {
  if (greeting.some(({ url }) => seen.reached.get(url)?.kind === 'answered')) return undefined
  const [first] = greeting.flatMap(({ url }) => seen.reached.get(url) ?? [])
  const why = first?.kind === 'unreached' ? first.why : (first?.kind ?? 'it has no address')
  return {
    outcome: 'unknown',
    message: `a pod without a sidecar doesn't even reach a pod beside it (${why}): do other NetworkPolicies shut it in?`,
  }
}

/**
 * In an agent's pod Envoy takes every connection, wherever it goes: only an answer says that it went through. Addresses of the
 * resources themselves are guarded, whoever has them.
 */
export function objectionToAgent(forbidden: readonly Destination[], seen: Seen): Objection | undefined {
  const open = forbidden.filter(({ url, host }) => {
    const kind = seen.reached.get(url)?.kind
    return !seen.addresses.has(host) && (kind === 'answered' || kind === 'silent')
  })
  return open.length > 0
    ? { outcome: 'failed', message: `an agent's container reaches ${inWords(open)} past its sidecar` }
    : undefined
}

/** @param index of the session among those that the probe opens. */
export function objectionToLogin(index: number, seen: Seen): Objection | undefined {
  const login = seen.logins[index]
  if (login?.kind === 'open') return undefined
  return { outcome: 'failed', message: login?.why ?? 'it was not tried' }
}

function connected(destinations: readonly Destination[], { reached }: Seen): readonly Destination[] {
  return destinations.filter(({ url }) => (reached.get(url)?.kind ?? 'unreached') !== 'unreached')
}

function inWords(destinations: readonly Destination[]): string {
  return destinations.map(({ what }) => what).join(', ')
}

/**
 * Which names an agent may ask about. Those that are listed (hosts of its protected resources and of its allowed egress), also
 * with a search domain behind them, are a finite set, so asking for them carries nothing away. Besides, it may ask
 * for Services of its own namespace, which the cluster's resolver knows itself and asks nobody about.
 */
import { isIP } from 'node:net'
import { canonicalAddress } from '../capture/proxy-protocol.ts'

export interface NameRules {
  /** Whether this name is listed. @param name in lower case, without a dot at its end. */
  readonly isListed: (name: string) => boolean
  /** Whether an address is a protected resource's, so that its name may be asked for. */
  readonly isKnownAddress: (address: string) => boolean
  readonly searchDomains: readonly string[]
  /** The agent's. */
  readonly namespace: string
}

export type NameVerdict =
  /** @param unlisted made up by the agent, as far as is known: it counts towards a limit. */
  | { readonly kind: 'ask'; readonly unlisted: boolean }
  /** There is such a name, and nothing of that type. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly reason: string }

const plainTypes: ReadonlySet<string> = new Set(['A', 'AAAA', 'CNAME'])
/**
 * SVCB and HTTPS, by their numbers, which is how dns-packet writes what it has no name for. Browsers ask for them along
 * with addresses and do without. With one, a client could hide the server's name that its connection is known by.
 */
const optionalTypes: ReadonlySet<string> = new Set(['UNKNOWN_64', 'UNKNOWN_65'])
/** Of what stands before the namespace. A Service's name has up to 63, and a port and protocol may come before it. */
const longestUnlisted = 100

/** @param name as the client wrote it. */
export function judge(name: string, type: string, rules: NameRules): NameVerdict {
  const lower = name.toLowerCase().replace(/\.$/, '')
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(lower))
    return refused('it has characters that host names have not')
  if (type === 'PTR') {
    const address = addressOfReverse(lower)
    if (address !== undefined && rules.isKnownAddress(address)) return { kind: 'ask', unlisted: false }
    return refused('names are told only of the addresses of protected resources')
  }
  const listed = isListedWithin(lower, rules)
  const service = listed ? undefined : serviceIn(lower, rules)
  if (!listed && service === undefined) return refused('it is not listed')
  if (service !== undefined && service.length > longestUnlisted)
    return refused('it is longer than a Service is named')
  if (plainTypes.has(type) || (type === 'SRV' && lower.startsWith('_')))
    return { kind: 'ask', unlisted: service !== undefined }
  if (optionalTypes.has(type)) return { kind: 'nothing' }
  return refused(`no agent is told records of type ${type}`)
}

function refused(reason: string): NameVerdict {
  return { kind: 'refused', reason }
}

/** By any form of a listed name that a client's search list makes of it, or that is short for it. */
function isListedWithin(name: string, { isListed, searchDomains }: NameRules): boolean {
  // _postgresql._tcp.orders-db is about orders-db
  const host = name.replace(/^_[a-z0-9-]+\._(tcp|udp)\./, '')
  const withShorter = (form: string): string[] => [
    form,
    ...searchDomains.flatMap((domain) =>
      form.endsWith(`.${domain}`) ? [form.slice(0, -domain.length - 1)] : [],
    ),
  ]
  const withLonger = (form: string): string[] => [form, ...searchDomains.map((domain) => `${form}.${domain}`)]
  return withShorter(host).flatMap(withLonger).flatMap(withShorter).some(isListed)
}

/** @returns what stands before `.NAMESPACE.svc.DOMAIN`, where it is the agent's namespace. */
function serviceIn(name: string, { searchDomains, namespace }: NameRules): string | undefined {
  const own = searchDomains.find((domain) => domain.startsWith(`${namespace}.svc.`))
  if (own === undefined || !name.endsWith(`.${own}`)) return undefined
  return name.slice(0, -own.length - 1)
}

/** `4.3.2.1.in-addr.arpa` is 1.2.3.4. RFC 1035 section 3.5, RFC 3596 section 2.5 */
function addressOfReverse(name: string): string | undefined {
  const [, four] = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name) ?? []
  if (four !== undefined) {
    const address = four.split('.').slice(0, 4).reverse().join('.')
    return isIP(address) === 4 ? address : undefined
  }
  const [, nibbles] = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name) ?? []
  if (nibbles === undefined) return undefined
  const digits = nibbles.replaceAll('.', '').split('').reverse().join('')
  return canonicalAddress((digits.match(/.{4}/g) ?? []).join(':'))
}

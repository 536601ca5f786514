/** What the kubelet writes into a pod's `/etc/resolv.conf`. resolv.conf(5) */
import { isIP } from 'node:net'

export interface ResolverFile {
  /** Addresses of the cluster's resolvers, in order; the first three count. */
  readonly servers: readonly string[]
  /** In lower case, without dots around them. */
  readonly searchDomains: readonly string[]
}

export function parseResolverFile(text: string): ResolverFile {
  const servers: string[] = []
  let searchDomains: readonly string[] = []
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/)
    if (keyword === 'nameserver') servers.push(...values.slice(0, 1).filter((value) => isIP(value) !== 0))
    // the last one counts
    else if (keyword === 'search' || keyword === 'domain')
      searchDomains = values.map((value) => value.toLowerCase().replace(/^\.|\.$/g, ''))
  }
  return { servers: servers.slice(0, 3), searchDomains: searchDomains.filter((domain) => domain !== '') }
}

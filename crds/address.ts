import type { ProtectedResource } from './generated/types.ts'

/** Host, without the brackets of IPv6, and port of a resource. */
export function addressOf({ spec: { address } }: ProtectedResource): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  }
}

/** Whether a resource is the API of the cluster that it is declared in: by the name that every cluster has for it. */
export function isOwnCluster(resource: ProtectedResource): boolean {
  const host = addressOf(resource).host.toLowerCase()
  return (
    resource.spec.type === 'kubernetes' &&
    (host === 'kubernetes.default' ||
      host === 'kubernetes.default.svc' ||
      host.startsWith('kubernetes.default.svc.'))
  )
}

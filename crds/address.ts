import type { ProtectedResource } from './generated/types.ts'

/** Host, without the brackets of IPv6, and port of a resource. */
export function addressOf({ spec: { address } }: ProtectedResource): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  }
}

import { isIP } from 'node:net'

/** In the words of Envoy's `CidrRange`. */
export type AddressRange = { addressPrefix: string; prefixLen: number }

/** @returns `10.2.3.4/16` as 10.2.0.0, 16: written in one way only. Undefined for what is no range. */
export function addressRange(cidr: string): AddressRange | undefined {
  const [address = '', length = ''] = cidr.split('/')
  const family = isIP(address)
  const bits = family === 4 ? 32 : 128
  const prefixLen = Number(length)
  if (family === 0 || !/^\d{1,3}$/.test(length) || prefixLen > bits) return undefined
  const groups = family === 4 ? address.split('.').map(Number) : groupsOf(address)
  const width = bits / groups.length
  const masked = groups.map((group, index) => {
    const kept = Math.min(width, Math.max(0, prefixLen - index * width))
    const dropped = 2 ** (width - kept)
    return Math.floor(group / dropped) * dropped
  })
  const text = family === 4 ? masked.join('.') : masked.map((group) => group.toString(16)).join(':')
  // the same address has one spelling in URLs
  return { addressPrefix: family === 4 ? text : new URL(`http://[${text}]`).hostname.slice(1, -1), prefixLen }
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const numbers = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  if (tail === undefined) return numbers(head)
  const [front, back] = [numbers(head), numbers(tail)]
  return [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back]
}

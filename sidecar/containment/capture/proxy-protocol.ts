/**
 * The header of the PROXY protocol, version 2, by which Envoy says where a connection was meant to go.
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2
 */

export interface Endpoint {
  /** In its one usual form: IPv4 as `10.0.0.1` even where it was mapped into IPv6, IPv6 compressed. */
  readonly address: string
  readonly port: number
}

export type ProxyHeader =
  /** The proxy's own connection, on nobody's behalf. */
  | { readonly kind: 'local'; readonly length: number }
  | {
      readonly kind: 'proxied'
      readonly source: Endpoint
      readonly destination: Endpoint
      /** Bytes of the header; what follows is the client's. */
      readonly length: number
    }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly reason: string }

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const fixedLength = 16
/** With all the lists that Envoy may add; the protocol would allow 64 KiB. */
const maximumLength = 2_048
const addressLengths: Readonly<Record<number, number>> = { 1: 4, 2: 16 }

/** @param bytes all that has come so far. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  const known = Math.min(bytes.length, signature.length)
  if (!bytes.subarray(0, known).equals(signature.subarray(0, known)))
    return invalid('it has another signature')
  if (bytes.length < fixedLength) return { kind: 'incomplete' }
  const [versionAndCommand = 0, familyAndTransport = 0] = bytes.subarray(12)
  const length = fixedLength + bytes.readUInt16BE(14)
  if (versionAndCommand >> 4 !== 2) return invalid('it is of another version')
  if (length > maximumLength) return invalid('it is too long')
  if (bytes.length < length) return { kind: 'incomplete' }
  const content = bytes.subarray(fixedLength, length)
  const command = versionAndCommand & 0x0f
  if (command === 0) return { kind: 'local', length }
  if (command !== 1) return invalid('it has an unknown command')
  const addressLength = addressLengths[familyAndTransport >> 4]
  if (addressLength === undefined || (familyAndTransport & 0x0f) !== 1)
    return invalid('it is not about TCP over IPv4 or IPv6')
  const addressesLength = 2 * addressLength + 4
  if (content.length < addressesLength) return invalid('its addresses are cut off')
  if (!isList(content.subarray(addressesLength))) return invalid('what follows its addresses is not a list')
  const endpoint = (index: 0 | 1): Endpoint => ({
    address: addressFrom(content.subarray(index * addressLength, (index + 1) * addressLength)),
    port: content.readUInt16BE(2 * addressLength + 2 * index),
  })
  return { kind: 'proxied', source: endpoint(0), destination: endpoint(1), length }
}

function invalid(reason: string): ProxyHeader {
  return { kind: 'invalid', reason }
}

/** Type, length, value, again and again; none of them says anything that is used here. */
function isList(bytes: Buffer): boolean {
  let at = 0
  while (at + 3 <= bytes.length) at += 3 + bytes.readUInt16BE(at + 1)
  return at === bytes.length
}

function addressFrom(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16))
  return canonicalAddress(groups.join(':'))
}

/** An address as two can be compared: `::FFFF:10.0.0.1` is `10.0.0.1`. @param address IPv4 or IPv6 without brackets. */
export function canonicalAddress(address: string): string {
  if (!address.includes(':')) return address
  const [withoutZone = ''] = address.split('%')
  const compressed = URL.parse(`http://[${withoutZone}]`)?.hostname.slice(1, -1) ?? address
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(compressed) ?? []
  if (high === undefined || low === undefined) return compressed
  return [high, low]
    .map((group) => Number.parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 0xff])
    .join('.')
}

/** The extension by which an authority signs for some hosts only: https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.10 */
import { isIP } from 'node:net'
import { Extension, GeneralName } from '@peculiar/x509'

const oid = '2.5.29.30'
const [sequence, permitted, ipAddress] = [0x30, 0xa0, 0x87]

/**
 * A name stands for itself and what is below it, an address for itself.
 *
 * @param hosts at least one name and one address: a kind of which none is listed would not be limited.
 */
export function nameConstraints(hosts: readonly string[]): Extension {
  if (new Set(hosts.map((host) => isIP(host) === 0)).size !== 2)
    throw new Error('name constraints need a name and an address')
  const subtrees = hosts.map((host) => element(sequence, isIP(host) === 0 ? name(host) : address(host)))
  return new Extension(oid, true, element(sequence, element(permitted, ...subtrees)))
}

function name(host: string): Buffer {
  return Buffer.from(new GeneralName('dns', host).rawData)
}

/** With a mask of which every bit counts. */
function address(host: string): Buffer {
  const bytes = Buffer.from(new GeneralName('ip', host).rawData).subarray(2)
  return element(ipAddress, bytes, Buffer.alloc(bytes.length, 0xff))
}

/** In DER: the length in as few bytes as it takes. */
function element(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const lengthBytes =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...lengthBytes]), content])
}

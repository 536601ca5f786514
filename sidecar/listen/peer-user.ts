/** Which user of this system is at the other end of a loopback connection. */
import { readFileSync } from 'node:fs'
import { isIPv4, type Socket } from 'node:net'

const established = '01'

/**
 * The UID that the peer's socket was made by, as the kernel has it. https://docs.kernel.org/networking/proc_net_tcp.html
 *
 * @returns undefined where it can't be told: on other systems than Linux, from other hosts, on Unix sockets, and when the
 * peer has hung up.
 */
export function peerUser({ remoteAddress, remotePort, localAddress, localPort }: Socket): number | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  if (localAddress === undefined || localPort === undefined) return undefined
  // seen from the peer, it is the other way round
  const from = spellings(remoteAddress).map((address) => `${address}:${hex(remotePort, 4)}`)
  const to = spellings(localAddress).map((address) => `${address}:${hex(localPort, 4)}`)
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6'])
    for (const line of linesOf(table)) {
      const [, local = '', remote = '', state, , , , uid = ''] = line.trim().split(/\s+/)
      if (state === established && from.includes(local) && to.includes(remote)) return Number(uid)
    }
  return undefined
}

function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, 'latin1').split('\n')
  } catch {
    return []
  }
}

/** An IPv4 address as it stands among IPv4 and among IPv6 sockets; an IPv6 one is only looked for on loopback. */
function spellings(address: string): readonly string[] {
  const plain = address.replace(/^::ffff:/i, '')
  if (isIPv4(plain)) {
    const word = wordOf(plain.split('.').map(Number))
    return [word, `0000000000000000${wordOf([0, 0, 0xff, 0xff])}${word}`]
  }
  return address === '::1' ? [`${'0'.repeat(24)}${wordOf([0, 0, 0, 1])}`] : []
}

/** The kernel prints each four bytes as one number of its own byte order. */
function wordOf(bytes: readonly number[]): string {
  const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1
  return (littleEndian ? bytes.toReversed() : bytes).map((byte) => hex(byte, 2)).join('')
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0')
}

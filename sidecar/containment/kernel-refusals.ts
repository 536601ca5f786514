/**
 * How many datagrams of this network namespace the kernel refused to send. Reading the rules' own counters would take
 * NET_ADMIN; these anybody may read. TCP is not among them: it is captured instead. proc_net(5), RFC 1213 ipOutDiscards
 */
import { readFile } from 'node:fs/promises'

export interface DatagramCounters {
  readonly ipv4: number
  readonly ipv6: number
}

export async function readDatagramCounters(directory = '/proc/self/net'): Promise<DatagramCounters> {
  const [ipv4, ipv6] = await Promise.all([
    readFile(`${directory}/snmp`, 'utf8'),
    // not there where the kernel has no IPv6
    readFile(`${directory}/snmp6`, 'utf8').catch(() => ''),
  ])
  return { ipv4: ipv4Discards(ipv4), ipv6: Number(/^Ip6OutDiscards\s+(\d+)/m.exec(ipv6)?.[1] ?? 0) }
}

/** A line of names, and one of values below it. */
function ipv4Discards(text: string): number {
  const [names = [], values = []] = text
    .split('\n')
    .filter((line) => line.startsWith('Ip:'))
    .map((line) => line.split(' '))
  return Number(values[names.indexOf('OutDiscards')] ?? 0)
}

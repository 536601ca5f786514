/** Ports of pods: those that a request names, and those that are told once it is a stream. */
import type { Command } from '@firebreak/policy'
import type { Analysed } from './analyse.ts'

export function isPort(text: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) < 65_536
}

/** A connection to one port. */
export function portCommand({ command }: Analysed, port: string): Command {
  const { k8s = {} } = command.facts
  return { ...command, text: `port ${port} of ${command.text}`, facts: { k8s: { ...k8s, ports: [port] } } }
}

/** What the programs that serve until they are stopped have in common: run, sidecar and operator. */
import { readFileSync } from 'node:fs'
import type { Address } from '@firebreak/sidecar'
import { UsageError } from './command.ts'

export function parseListen(items: readonly string[]): Map<string, Address> {
  return new Map(
    items.map((item): [string, Address] => {
      const parts = /^([^=]+)=(.+):([0-9]+)$/.exec(item)
      const port = Number(parts?.[3])
      if (!parts || port > 65_535) throw new UsageError(`--listen takes RESOURCE=HOST:PORT, not ${item}`)
      return [parts[1] ?? '', { host: (parts[2] ?? '').replace(/^\[|\]$/g, ''), port }]
    }),
  )
}

export function parseAddress(option: string, text: string): Address {
  const parts = /^(.+):([0-9]+)$/.exec(text)
  if (!parts || Number(parts[2]) > 65_535) throw new UsageError(`--${option} takes HOST:PORT, not ${text}`)
  return { host: (parts[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(parts[2]) }
}

/** @throws UsageError when one is missing, and the system's error when the secret can't be read. */
export function readNotify(
  url: string | undefined,
  secretFile: string | undefined,
): { url: string; secret: string } | undefined {
  if (url === undefined && secretFile === undefined) return undefined
  if (url === undefined || secretFile === undefined)
    throw new UsageError('--notify and --notify-secret-file go together')
  if (!URL.canParse(url)) throw new UsageError(`--notify takes a URL, not ${url}`)
  const { protocol, hostname } = new URL(url)
  if (
    protocol !== 'https:' &&
    !(protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname))
  )
    throw new UsageError(
      `--notify takes an https URL, or a plain one of this host: ${url} would send commands in the clear`,
    )
  const secret = readFileSync(secretFile, 'utf8').trim()
  if (secret.length < 16) throw new UsageError(`the secret in ${secretFile} is shorter than 16 characters`)
  return { url, secret }
}

/** A terminal that is closed sends SIGHUP. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
}

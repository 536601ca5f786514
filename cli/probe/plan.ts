/** What a probe tries, as its arguments say it. */
import { actionFamilies, type ResourceType } from '@firebreak/policy'
import { UsageError } from '../command.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Plan {
  /** A port on which everybody is greeted. */
  readonly listen?: number
  readonly reach: readonly (Address & { readonly type: ResourceType | 'tcp' })[]
  readonly sessions: readonly (Address & {
    readonly type: ResourceType
    readonly username: string
    readonly database?: string
  })[]
  /** Hosts whose addresses are told. */
  readonly resolve: readonly string[]
}

export const planOptions = {
  listen: { type: 'string' },
  reach: { type: 'string', multiple: true },
  session: { type: 'string', multiple: true },
  resolve: { type: 'string', multiple: true },
} as const

export interface PlanValues {
  readonly listen?: string | undefined
  readonly reach?: readonly string[] | undefined
  readonly session?: readonly string[] | undefined
  readonly resolve?: readonly string[] | undefined
}

/** @throws UsageError for what is no URL of a type that is known. */
export function planOf({ listen, reach = [], session = [], resolve = [] }: PlanValues): Plan {
  if (listen !== undefined && !/^\d{1,5}$/.test(listen))
    throw new UsageError(`--listen takes a port, not ${listen}`)
  return {
    ...(listen !== undefined && { listen: Number(listen) }),
    reach: reach.map((text) => {
      const { protocol, ...url } = parsed(text, '--reach')
      return { type: protocol === 'tcp' ? protocol : typeOf(protocol, text), ...addressIn(url, text) }
    }),
    sessions: session.map((text) => {
      const { protocol, username, database, ...url } = parsed(text, '--session')
      return {
        type: typeOf(protocol, text),
        ...addressIn(url, text),
        username,
        ...(database !== '' && { database }),
      }
    }),
    resolve,
  }
}

/** `postgresql://reader@127.0.0.1:15432/orders` */
export function urlOf({ host, port }: Address, type: string, username = '', database = ''): string {
  const user = username === '' ? '' : `${encodeURIComponent(username)}@`
  const path = database === '' ? '' : `/${encodeURIComponent(database)}`
  return `${type}://${user}${host.includes(':') ? `[${host}]` : host}:${port}${path}`
}

function parsed(text: string, option: string) {
  const url = URL.parse(text)
  if (!url) throw new UsageError(`${option} takes TYPE://HOST:PORT, not ${text}`)
  return {
    protocol: url.protocol.slice(0, -1),
    host: url.hostname.replace(/^\[|\]$/g, ''),
    // a URL doesn't say the usual one of its type
    port: url.port === '' && url.protocol === 'http:' ? '80' : url.port,
    username: decodeURIComponent(url.username),
    database: decodeURIComponent(url.pathname.slice(1)),
  }
}

function typeOf(protocol: string, text: string): ResourceType {
  if (!isType(protocol))
    throw new UsageError(`${text} is of no type that is known: ${Object.keys(actionFamilies).join(', ')}`)
  return protocol
}

function isType(text: string): text is ResourceType {
  return Object.hasOwn(actionFamilies, text)
}

function addressIn({ host, port }: { host: string; port: string }, text: string): Address {
  if (host === '' || port === '') throw new UsageError(`${text} names no host and port`)
  return { host, port: Number(port) }
}

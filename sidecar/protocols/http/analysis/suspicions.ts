/** What requests do that could get around the gateway: to the server's inside, to its secrets, as somebody else. */
import { type Command, joinName, type Touch } from '@firebreak/policy'
import type { Suspicions } from '../../suspicions.ts'

export const httpSuspicions: Suspicions = {
  reachesAround: (command) => claimInWords(command) ?? firstOf(command, insideInWords),
  mayReachAround: (command) => firstOf(command, administersInWords),
  readsOn: () => false,
  isProbe: isForbidden,
  tried: triedInRequest,
  passing: ({ kind }) => kind === 'session',
}

/** What isn't there is what looking something up gives as well. */
export function isForbidden(code: string): boolean {
  return code === '401' || code === '403' || code === '405'
}

/** Of one thing after the other it is the same that is tried: what has digits in it is taken for the name of one of many. */
export function triedInRequest({ touches }: Command): string | undefined {
  const tried = touches
    .filter(({ origin }) => origin === 'direct')
    .map(({ action, object: { kind, path } }) => {
      const kin = path.map((name) => (isOneOfMany(name) ? '#' : name))
      return `${action} ${kind} ${joinName(kind, kin)}`
    })
  return tried.length === 0 ? undefined : [...new Set(tried)].sort().join(', ')
}

/** Versions of APIs are few. */
function isOneOfMany(name: string): boolean {
  return /[0-9]/.test(name) && !/^v[0-9]{1,2}$/.test(name)
}

/** @returns what is said of the first touch that something is to be said of: of what the client names, in all of its readings. */
export function firstOf(
  { touches }: Command,
  inWords: (touch: Touch) => string | undefined,
): string | undefined {
  for (const touch of touches) {
    const words = inWords(touch)
    if (words !== undefined) return words
  }
  return undefined
}

function claimInWords({ facts }: Command): string | undefined {
  const claims = facts.http?.claims
  return Array.isArray(claims) && claims.length > 0
    ? `says to come from somebody else (${claims.join(', ')})`
    : undefined
}

/** Files at the root of a server, or of a service behind it, that are there by mistake alone. */
const secretFiles = new Set([
  '.env',
  '.git',
  '.svn',
  '.aws',
  '.ssh',
  '.htpasswd',
  '.npmrc',
  '.docker',
  '.kube',
])
/** Where clouds give a machine its credentials: no API for agents is served there. */
const machines = [
  ['latest', 'meta-data'],
  ['latest', 'user-data'],
  ['latest', 'api', 'token'],
  ['computemetadata'],
  ['metadata', 'identity'],
  ['metadata', 'instance'],
]
/** Where servers show themselves to whoever runs them. */
const insides = [
  ['actuator', 'env'],
  ['actuator', 'heapdump'],
  ['actuator', 'shutdown'],
  ['debug', 'pprof'],
  ['server-status'],
  ['jolokia'],
  ['_cat'],
]

function insideInWords({ object }: Touch): string | undefined {
  if (object.kind !== 'path') return undefined
  const path = object.path.map((name) => name.toLowerCase())
  const file = path.slice(0, 2).find((name) => secretFiles.has(name))
  const shown = joinName('path', object.path)
  if (file !== undefined) return `asks for files that hold secrets (${shown})`
  if (machines.some((inner) => beginsWith(path, inner)))
    return `asks for the credentials of the machine (${shown})`
  return insides.some((inner) => beginsWith(path, inner))
    ? `asks for the server's inside (${shown})`
    : undefined
}

function beginsWith(path: readonly string[], beginning: readonly string[]): boolean {
  return beginning.every((name, index) => path[index] === name)
}

/** What lets others in, or sends data elsewhere. */
const access = new Set([
  'api-keys',
  'api_keys',
  'apikeys',
  'collaborators',
  'credentials',
  'hooks',
  'permissions',
  'service-accounts',
  'serviceaccounts',
  'tokens',
  'webhooks',
])

function administersInWords({ action, object: { kind, path } }: Touch): string | undefined {
  if (kind !== 'path') return undefined
  const names = path.map((name) => name.toLowerCase())
  if (names.includes('admin')) return `is about how the server is run (${joinName(kind, path)})`
  return action === 'http:write' && names.some((name) => access.has(name))
    ? `changes who is let in, or who hears of what happens (${joinName(kind, path)})`
    : undefined
}

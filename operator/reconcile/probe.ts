/** Tries a protected resource from where the operator is: are the credentials there, and does anybody answer? */
import { lookup } from 'node:dns/promises'
import { connect } from 'node:net'
import { addressOf, type ProtectedResource } from '@firebreak/crds'
import type { World } from '../watch/world.ts'
import type { Finding } from './conditions.ts'

/** In milliseconds. */
const connectWithin = 3_000

export async function probeResource(resource: ProtectedResource, world: World): Promise<readonly Finding[]> {
  return [credentials(resource, world), await reachable(resource)]
}

function credentials({ metadata: { namespace }, spec: { roles } }: ProtectedResource, world: World): Finding {
  const missing = roles.flatMap(({ name, credential: { secret } }) => {
    if (!secret) return []
    const stored = world.secrets.get(`${namespace}/${secret.name}`)
    if (!stored) return [`role ${name}: there is no Secret ${secret.name}`]
    return stored.data?.[secret.passwordKey] === undefined
      ? [`role ${name}: Secret ${secret.name} has no key ${secret.passwordKey}`]
      : []
  })
  const type = 'CredentialsResolved'
  return missing.length === 0
    ? { type, status: 'True', reason: 'Resolved', message: 'the credentials of all roles are there' }
    : { type, status: 'False', reason: 'Missing', message: missing.join('; ') }
}

async function reachable(resource: ProtectedResource): Promise<Finding> {
  const type = 'Reachable'
  const { address } = resource.spec
  const { host, port } = addressOf(resource)
  try {
    const { address: found } = await lookup(host)
    await connected(found, port)
    return { type, status: 'True', reason: 'Connected', message: `${address} answers` }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'ENOTFOUND' || code === 'EAI_AGAIN' ? 'NameNotFound' : 'NotConnected'
    return { type, status: 'False', reason, message: `${address} can't be reached: ${message}` }
  }
}

function connected(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: connectWithin })
    const end = (error?: Error): void => {
      socket.destroy()
      if (error) reject(error)
      else resolve()
    }
    socket.once('connect', () => end())
    socket.once('error', end)
    socket.once('timeout', () => end(new Error(`no answer within ${connectWithin} ms`)))
  })
}

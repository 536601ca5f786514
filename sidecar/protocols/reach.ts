/** Whether a protected system can be reached as a session would reach it, without saying who asks. */
import type { ResourceType } from '@firebreak/policy'
import { openTcp, type Unreachable, unreachable } from '../outbound/connect.ts'
import type { Target } from '../session.ts'
import { sslRequest } from './postgresql/codec/encode.ts'
import { connectServer, reachServer } from './postgresql/handshake/server.ts'

/** @returns why not, if it can't be reached. */
type Reach = (target: Target, signal: AbortSignal) => Promise<Unreachable | undefined>

const spoken: Partial<Record<ResourceType, Reach>> = { postgresql: reachServer }

export function reachOf(type: ResourceType): Reach {
  return spoken[type] ?? reachByTcp
}

async function reachByTcp(target: Target, signal: AbortSignal): Promise<Unreachable | undefined> {
  try {
    const socket = await openTcp(target, signal)
    socket.destroy()
    return undefined
  } catch (error) {
    return unreachable(error)
  }
}

/** What to say to a server of a type so that it says something; those that speak first don't mind it. */
export function helloOf(type: ResourceType): Buffer | string {
  return type === 'postgresql'
    ? sslRequest
    : 'OPTIONS * HTTP/1.1\r\nHost: firebreak\r\nConnection: close\r\n\r\n'
}

export interface LoginAddress {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly database?: string
}

/** Begins a session as an agent does, at a listener of its sidecar, and ends it. @returns why there is none. */
type LogIn = (address: LoginAddress, signal: AbortSignal) => Promise<string | undefined>

const loginsSpoken: Partial<Record<ResourceType, LogIn>> = {
  async postgresql({ host, port, username, database }, signal) {
    const parameters = new Map(database === undefined ? [] : [['database', database]])
    const target: Target = { host, port, tls: { mode: 'disable' } }
    const connected = await connectServer(target, { username }, parameters, signal)
    if (!connected.ok) return connected.error.message
    connected.value.socket.destroy()
    return undefined
  },
}

/** Of protocols without a login that could be tried, it says whether somebody listens. */
export function loginOf(type: ResourceType): LogIn {
  return (
    loginsSpoken[type] ??
    (async (address, signal) => (await reachByTcp({ ...address, tls: { mode: 'disable' } }, signal))?.message)
  )
}

/** Whether a protected system can be reached as a session would reach it, without saying who asks. */
import type { ResourceType } from '@firebreak/policy'
import { openTcp, type Unreachable, unreachable } from '../outbound/connect.ts'
import type { Target } from '../session.ts'
import { reachServer } from './postgresql/handshake/server.ts'

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

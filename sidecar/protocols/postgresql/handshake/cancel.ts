/** Cancel keys: what clients hold never works on the server, and what the server gave never reaches a client. */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { Target } from '../../../session.ts'
import { cancelRequest } from '../codec/encode.ts'
import { sendPacket } from './server.ts'

export interface CancelKey {
  readonly processId: number
  readonly secret: Buffer
}

interface Entry {
  readonly secret: Buffer
  readonly target: Target
  readonly real: CancelKey
  readonly cancelHere: () => boolean
}

const entries = new Map<number, Entry>()

/**
 * Makes a key for a client. Its owner must {@link forgetKey} it.
 *
 * @param cancelHere cancels what has not reached the server yet. @returns whether there was anything.
 */
export function issueKey(
  target: Target,
  real: CancelKey,
  minor: 0 | 2,
  cancelHere: () => boolean,
): CancelKey {
  let processId = randomInt(1, 0x7fffffff)
  while (entries.has(processId)) processId = randomInt(1, 0x7fffffff)
  const secret = randomBytes(minor === 2 ? 32 : 4)
  entries.set(processId, { secret, target, real, cancelHere })
  return { processId, secret }
}

export function forgetKey({ processId }: CancelKey): void {
  entries.delete(processId)
}

/** Forwards a client's cancel request if its key is good; says nothing otherwise, as the server does. */
export async function cancelByKey({ processId, secret }: CancelKey, signal: AbortSignal): Promise<void> {
  const entry = entries.get(processId)
  if (!entry || entry.secret.length !== secret.length || !timingSafeEqual(entry.secret, secret)) return
  if (!entry.cancelHere()) await cancelOnServer(entry.target, entry.real, signal)
}

export function cancelOnServer(target: Target, real: CancelKey, signal: AbortSignal): Promise<void> {
  return sendPacket(target, cancelRequest(real.processId, real.secret), signal)
}

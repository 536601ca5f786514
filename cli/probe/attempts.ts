/** One round of what a probe tries. */
import { lookup } from 'node:dns/promises'
import { connect } from 'node:net'
import type { ResourceType } from '@firebreak/policy'
import { helloOf, loginOf } from '@firebreak/sidecar/protocols/reach.ts'
import { inWords } from '@firebreak/sidecar/system-errors.ts'
import type { Address, Plan } from './plan.ts'

/** How far a connection came. */
export type Reached =
  /** Somebody said something. */
  | { readonly kind: 'answered' }
  /** There is a connection on which nobody speaks. */
  | { readonly kind: 'silent' }
  /** There was a connection, which the other side ended without a word. */
  | { readonly kind: 'closed' }
  /** There was none. */
  | { readonly kind: 'unreached'; readonly why: string }

export type Login = { readonly kind: 'open' } | { readonly kind: 'refused'; readonly why: string }

/** In the order of the plan. */
export interface Round {
  readonly round: number
  readonly reached: readonly Reached[]
  readonly logins: readonly Login[]
  /** Empty where a name means nothing. */
  readonly resolved: readonly (readonly string[])[]
}

/** In milliseconds. What waits that long for an answer on a busy machine is not kept from it by rules: those drop. */
const patience = 3_000

/** @param known of sessions that were opened: once is enough. */
export async function tryAll(plan: Plan, round: number, known: readonly Login[]): Promise<Round> {
  const [reached, logins, resolved] = await Promise.all([
    Promise.all(plan.reach.map(({ type, ...address }) => reach(address, type))),
    Promise.all(
      plan.sessions.map(async (session, index): Promise<Login> => {
        if (known[index]?.kind === 'open') return known[index]
        const why = await loginOf(session.type)(session, AbortSignal.timeout(2 * patience))
        return why === undefined ? { kind: 'open' } : { kind: 'refused', why }
      }),
    ),
    Promise.all(plan.resolve.map(addressesOf)),
  ])
  return { round, reached, logins, resolved }
}

async function reach(address: Address, type: ResourceType | 'tcp'): Promise<Reached> {
  const { promise, resolve } = Promise.withResolvers<Reached>()
  let connected = false
  const socket = connect(address, () => {
    connected = true
    if (type !== 'tcp') socket.write(helloOf(type))
  })
  const ended = (why: string): void => resolve(connected ? { kind: 'closed' } : { kind: 'unreached', why })
  socket
    .once('data', () => resolve({ kind: 'answered' }))
    .once('error', (error) => ended(inWords(error)))
    .once('close', () => ended('closed'))
  const timer = setTimeout(
    () => resolve(connected ? { kind: 'silent' } : { kind: 'unreached', why: 'no answer' }),
    patience,
  )
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function addressesOf(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch {
    return []
  }
}

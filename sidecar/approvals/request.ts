/** Makes requests. */
import { randomInt } from 'node:crypto'
import type { ApprovalRequest } from '@firebreak/crds'
import { type ApprovalTerms, type Command, describeTouch, type Subject } from '@firebreak/policy'
import type { HeldCommand } from '../session.ts'
import { commandDigest } from './digest.ts'
import { canonical } from './request-file.ts'
import { toSpec } from './requirements.ts'

/** The API's bounds of `spec.command`. Nobody could see more of it, so nobody could approve it. */
const bounds = {
  text: 65_536,
  parameters: 256,
  parameter: 4_096,
  actions: 64,
  objects: 256,
  item: 512,
  context: 1_024,
}
/** Letters and digits that are hard to mistake for each other, as Kubernetes makes names. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'

/** What commands do, in words: what people approve, and must still be what happens. */
export interface Described {
  readonly actions: readonly string[]
  readonly objects: readonly string[]
}

export function describeCommands(commands: readonly Command[]): Described {
  const touches = commands.flatMap((command) => command.touches)
  const opaque = [...new Set(commands.flatMap((command) => command.opaque))].map(
    (reason) => `opaque: ${reason}`,
  )
  return {
    actions: [...new Set(touches.map(({ action }) => action))],
    objects: [
      ...new Set([
        ...touches.map((touch) => describeTouch(touch).slice(touch.action.length + ' on '.length)),
        ...opaque,
      ]),
    ],
  }
}

/** What an approval is bound to, as one text: requests with the same one are for the same thing. */
export function bindingOf(
  { chain, resource, role }: Subject,
  session: string | undefined,
  digest: string,
  { actions, objects }: Described,
): string {
  return JSON.stringify([
    chain.map(({ identity }) => identity),
    resource,
    role,
    session,
    digest,
    actions,
    objects,
  ])
}

/** The same for a request that was made earlier. */
export function bindingOfRequest({ metadata, spec }: ApprovalRequest): string {
  const { chain, resource, role, session, command, elevation, resumption } = spec
  return JSON.stringify([
    chain.map(({ identity }) => identity),
    `${metadata.namespace}/${resource}`,
    role,
    session,
    command?.digest,
    command?.actions,
    command?.objects,
    ...(elevation ? [elevation] : []),
    ...(resumption ? [resumption.action] : []),
  ])
}

export interface Asking {
  readonly subject: Subject
  readonly session: string | undefined
  readonly terms: ApprovalTerms
  readonly now: Date
}

/** @returns what is too long to be shown to anybody. */
export function tooLong(held: HeldCommand, { actions, objects }: Described): string | undefined {
  const { text, parameters, context } = held
  if (text.length > bounds.text) return `its text is longer than ${bounds.text} characters`
  if (parameters.length > bounds.parameters) return `it has more than ${bounds.parameters} parameters`
  if (parameters.some(({ shown }) => shown === undefined || shown.length > bounds.parameter))
    return `one of its parameters is longer than ${bounds.parameter} characters`
  if (actions.length > bounds.actions || objects.length > bounds.objects)
    return `it touches more than ${bounds.objects} objects`
  const long = [...actions, ...objects].some((item) => item.length > bounds.item)
  return long || context.some((item) => item.length > bounds.context)
    ? 'it touches objects with too long names'
    : undefined
}

export function commandRequest(
  asking: Asking,
  held: HeldCommand,
  described: Described,
  estimatedEffect: string | undefined,
): ApprovalRequest {
  const { terms } = asking
  const { parameters, context, text } = held
  return requestOf(asking, terms.expiresAfterSeconds, {
    kind: 'command',
    ...(terms.boundTo === 'session' && asking.session !== undefined && { session: asking.session }),
    command: {
      text,
      ...(parameters.length > 0 && { parameters: parameters.map(({ shown = '' }) => shown) }),
      ...(context.length > 0 && { context: [...context] }),
      digest: commandDigest(held),
      actions: [...described.actions],
      objects: [...described.objects],
      ...(estimatedEffect !== undefined && { estimatedEffect }),
    },
    requirements: terms.requirements.map(toSpec),
  })
}

type Particular = Pick<
  ApprovalRequest['spec'],
  'kind' | 'command' | 'elevation' | 'resumption' | 'session' | 'justification' | 'requirements'
>

export function requestOf(
  { subject, now }: Pick<Asking, 'subject' | 'now'>,
  expiresAfterSeconds: number | undefined,
  particular: Particular,
): ApprovalRequest {
  const { chain, resource, role } = subject
  const [namespace = '', identity = ''] = (chain.at(-1) ?? chain[0]).identity.split('/')
  return canonical({
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ApprovalRequest',
    metadata: { name: `${identity.slice(0, 240)}-${suffix()}`, namespace },
    spec: {
      identity,
      chain: chain.map(({ identity: link, groups }) => ({
        identity: link,
        ...(groups.length > 0 && { groups: groups.slice(0, 64) }),
      })),
      resource: resource.slice(resource.indexOf('/') + 1),
      role,
      requestedAt: now.toISOString(),
      ...(expiresAfterSeconds !== undefined && {
        expiresAt: new Date(now.getTime() + expiresAfterSeconds * 1_000).toISOString(),
      }),
      ...particular,
    },
    status: { state: 'Pending' },
  })
}

function suffix(): string {
  return Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('')
}

/** `15m`, `20s`: how long is left, for people. */
export function inTime(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes}m`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours}h` : `${Math.round(hours / 24)}d`
}

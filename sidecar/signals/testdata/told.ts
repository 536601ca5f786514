/** Commands as detectors are told of them, without a protocol or a server. */
import type { GuardrailPolicy } from '@firebreak/crds'
import type { Command, Decision, QualifiedName, SignalRule } from '@firebreak/policy'
import { signalRules } from '@firebreak/policy'
import type { CommandEvent } from '../events.ts'
import { traitsOf } from '../traits.ts'

export type SignalSpec = NonNullable<GuardrailPolicy['spec']['signals']>[number]

/** Rules as a policy would have them, with the defaults. */
export function rulesOf(
  signals: readonly (Pick<SignalSpec, 'kind'> & Partial<SignalSpec>)[],
): readonly SignalRule[] {
  return signalRules('agents/watch', {
    appliesTo: {},
    signals: signals.map((signal) => ({ action: 'alert', ...signal })),
  })
}

const shapes = new Map<string, Command>()

/** One object for all runs of a command, as the analysis has it. */
function commandOf(action: string, object: string, opaque: readonly string[]): Command {
  const key = JSON.stringify([action, object, opaque])
  let command = shapes.get(key)
  if (!command) {
    const [kind = 'table', name = ''] = object.includes(' ') ? object.split(' ') : ['table', object]
    const path = name.split('.')
    command = {
      resourceType: 'postgresql',
      text: `${action} ${object}`,
      touches: [{ action, object: { kind, path }, origin: 'direct' }],
      opaque,
      fields:
        action === 'sql:select' && kind === 'table'
          ? [{ label: 'id', sources: [{ path, part: 'id' }], derivation: 'copy' }]
          : [],
      indirectUses: [],
      facts: {},
    }
    shapes.set(key, command)
  }
  return command
}

export interface Told {
  readonly action?: string
  /** `public.orders`, or with its kind: `role other`. */
  readonly object?: string
  readonly effect?: Decision['effect']
  readonly byMask?: true
  readonly unmasked?: readonly string[]
  readonly opaque?: readonly string[]
  readonly rows?: number
  readonly error?: { readonly code: string; readonly message: string }
  readonly text?: string
  readonly values?: readonly string[]
  readonly resource?: QualifiedName
  readonly role?: string
  readonly elevated?: boolean
  readonly approved?: boolean
}

let references = 0

export function told({
  action = 'sql:select',
  object = 'public.orders',
  effect = 'allow',
  byMask,
  unmasked,
  opaque = [],
  rows = 1,
  error,
  text,
  values = [],
  resource = 'agents/shop',
  role = 'agent',
  elevated = false,
  approved = false,
}: Told = {}): CommandEvent {
  const command = commandOf(action, object, opaque)
  const explained = {
    reason: `${action} is denied`,
    matched: [],
    alerts: [],
    touchesMasked: false,
    revision: 'r',
  }
  const sources = unmasked?.map((part) => ({ path: object.split('.'), part }))
  const decision: Decision =
    effect === 'deny'
      ? { ...explained, effect, ...(byMask && { byMask }) }
      : effect === 'hold'
        ? {
            ...explained,
            effect,
            masks: [],
            approval: { requirements: [], expiresAfterSeconds: 1, whileWaiting: 'wait', boundTo: 'identity' },
          }
        : { ...explained, effect, masks: [], ...(sources && { unmasked: sources }) }
  const failure = error ?? (effect === 'deny' ? { code: '42501', message: 'denied' } : undefined)
  return {
    kind: 'command',
    reference: `R${references++}`,
    resource,
    role,
    elevated,
    decision,
    outcome: {
      rows: failure ? 0 : rows,
      bytes: rows * 50,
      maskedFields: [],
      milliseconds: 1,
      ...(failure && { error: failure }),
    },
    approved,
    traits: traitsOf(command),
    text: text ?? command.text,
    parameters: values,
  }
}

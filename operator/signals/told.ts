/** What a sidecar may tell of signals: only about its own agent, and those that it delegated to. Pure. */
import type { QualifiedName } from '@firebreak/policy'
import { signalKinds } from '@firebreak/policy'
import type { Notices } from '@firebreak/sidecar/audit/lines.ts'
import type { Key } from '../watch/informer.ts'

export type SignalLine = Notices['signal']

export interface Teller {
  /** The AgentIdentity of the pod that tells, as it was proven. */
  readonly agent: Key
  /** Whether an identity lets another act for it. */
  readonly delegates: (from: Key, to: Key) => boolean
}

export type Told =
  | { readonly ok: true; readonly value: SignalLine & { readonly identity: QualifiedName } }
  | { readonly ok: false; readonly error: string }

/** Those of policies, and what is told whatever policies say. */
const kinds: ReadonlySet<string> = new Set([...signalKinds, 'rule', 'delegationMisuse', 'breakGlass'])
const severities: ReadonlySet<unknown> = new Set(['low', 'high', 'critical'])
const actions: ReadonlySet<unknown> = new Set(['alert', 'requireApproval', 'suspend'])

/** In characters. */
const longest = { explanation: 4_096, word: 512 } as const
const maximumEvidence = 8
const maximumChain = 16

/** @returns the signal with nothing but what is known of one; about the agent itself where nobody is proven to have done it. */
export function told(message: Uint8Array, { agent, delegates }: Teller): Told {
  const line = parsed(message)
  if (!line) return no('it is no signal')
  const { kind, severity, action, explanation } = line
  if (typeof kind !== 'string' || !kinds.has(kind)) return no('there is no signal of that kind')
  if (!severities.has(severity)) return no('it has no severity')
  if (action !== undefined && !actions.has(action)) return no('there is no such action')
  if (!isText(explanation, longest.explanation)) return no('it has no explanation, or too long a one')
  const words = wordsOf(line)
  const { evidence = [], chain = [] } = line
  if (!words || !areWords(evidence, maximumEvidence) || !areWords(chain, maximumChain))
    return no('its fields are not as they should be')
  const identity = String(line.identity ?? chain.at(-1) ?? agent)
  const links = chain.length > 0 ? chain : identity === agent ? [agent] : [agent, identity]
  const own = links[0] === agent && links.at(-1) === identity
  if (!own || !links.every((link, index) => index === 0 || delegates(links[index - 1] ?? '', link)))
    return no(`it is about ${identity}, which does not act for ${agent}`)
  const known = { kind, severity, ...(action !== undefined && { action }), explanation, ...words }
  const lists = { ...(evidence.length > 0 && { evidence }), ...(chain.length > 0 && { chain }) }
  return { ok: true, value: { ...known, ...lists, identity } as SignalLine & { identity: QualifiedName } }
}

function no(error: string): Told {
  return { ok: false, error }
}

function parsed(message: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(message).toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined
  } catch {
    return undefined
  }
}

const singleWords = [
  'reference',
  'session',
  'resource',
  'remote',
  'request',
  'policy',
  'rule',
  'problem',
] as const

function wordsOf(line: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> | undefined {
  const words: Record<string, string> = {}
  for (const name of singleWords) {
    const value = line[name]
    if (value === undefined) continue
    if (!isText(value, longest.word)) return undefined
    words[name] = value
  }
  return words
}

function isText(value: unknown, characters: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= characters
}

function areWords(value: unknown, count: number): value is readonly string[] {
  return Array.isArray(value) && value.length <= count && value.every((item) => isText(item, longest.word))
}

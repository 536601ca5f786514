/** What a request does: method, path and whatever else of it is understood → Command. */
import type { Command, Fact, Touch } from '@firebreak/policy'
import type { Conversation } from '../exchange/conversation.ts'
import { headerOf } from '../head/head.ts'
import type {
  HeaderFields,
  HttpRequest,
  OpenBodyMask,
  RequestAnalysis,
  RequestHead,
  Understanding,
} from '../request.ts'
import { actionOf } from './actions.ts'
import type { HttpFact } from './facts.ts'

/** What requests mean, apart from how they are exchanged. Pure. */
export interface Meaning {
  /** How many bytes of the body it has to see; 0 where the head is enough. */
  needs(head: RequestHead): number
  commandOf(request: HttpRequest, upgrades: boolean): Command
  /** Where answers have to be read otherwise than as what they say to be, to be masked. */
  readonly openBodyMask?: OpenBodyMask
  /** Whether the answer has to be read by {@link openBodyMask} whatever there is to be masked. */
  readsAnswer?(head: RequestHead): boolean
  /** What is spoken by requests, where that is more than HTTP. */
  conversationOf?(request: HttpRequest): Conversation | undefined
}

/** Requests that only need their head to be understood are known again by it. */
const rememberedCommands = 2_000

type Answers = Pick<Meaning, 'openBodyMask' | 'readsAnswer' | 'conversationOf'>

export class HttpMeaning implements Meaning {
  readonly openBodyMask?: OpenBodyMask
  readonly #analyses: readonly RequestAnalysis[]
  readonly #answers: Answers
  readonly #remembers: boolean
  readonly #remembered = new Map<string, Command>()

  constructor(analyses: readonly RequestAnalysis[], answers: Answers = {}) {
    if (answers.openBodyMask) this.openBodyMask = answers.openBodyMask
    this.#analyses = analyses
    this.#remembers = analyses.every(({ byLine }) => byLine)
    this.#answers = answers
  }

  readsAnswer(head: RequestHead): boolean {
    return this.#answers.readsAnswer?.(head) ?? false
  }

  conversationOf(request: HttpRequest): Conversation | undefined {
    return this.#answers.conversationOf?.(request)
  }

  needs(head: RequestHead): number {
    return Math.max(0, ...this.#analyses.map((analysis) => analysis.needs(head) ?? 0))
  }

  commandOf(request: HttpRequest, upgrades: boolean): Command {
    if (request.body || !this.#remembers) return this.#analyse(request, upgrades)
    const key = keyOf(request, upgrades)
    const known = this.#remembered.get(key)
    if (known) return known
    const command = this.#analyse(request, upgrades)
    if (this.#remembered.size >= rememberedCommands) this.#remembered.clear()
    this.#remembered.set(key, command)
    return command
  }

  #analyse(request: HttpRequest, upgrades: boolean): Command {
    const understood = this.#analyses
      .filter((analysis) => analysis.needs(request) !== undefined)
      .map((analysis) => analysis.understand(request))
    const own = understandHead(request, upgrades)
    const all = [own, ...understood]
    const also = understood.flatMap((understanding) => understanding.also ?? [])
    return {
      resourceType: 'http',
      text: textOf(request),
      touches: [
        ...own.touches.map((touch) => alsoCalled(touch, also)),
        ...understood.flatMap(({ touches }) => touches),
      ],
      opaque: all.flatMap(({ opaque }) => opaque),
      fields: [],
      indirectUses: all.flatMap(({ indirectUses }) => indirectUses),
      facts: mergeFacts(all),
    }
  }
}

/** What a request is asked to do has other names; what it may be taken for has not. */
function alsoCalled(touch: Touch, also: readonly string[]): Touch {
  return also.length === 0 || touch.origin !== 'direct' ? touch : { ...touch, also }
}

/** As people see it. */
export function textOf({ method, path, query }: RequestHead): string {
  return `${method} ${path.text}${query === '' ? '' : `?${query}`}`
}

/** By these a request says to be of another method than it is. */
const overrides = ['x-http-method-override', 'x-http-method', 'x-method-override'] as const

function understandHead(head: RequestHead, upgrades: boolean): Understanding {
  const touches: Touch[] = []
  const opaque: string[] = []
  if (namesOfMethod(head).size > maximumMethods) opaque.push('its method has too many names')
  for (const method of methodsOf(head)) {
    const action = actionOf(method)
    if (action) touches.push(...touchesOf(action, head))
    else opaque.push(`what the method ${method} does is not known`)
  }
  if (upgrades) touches.push(...touchesOf('http:upgrade', head))
  return { touches, opaque, indirectUses: [], facts: { http: factsOf(head) } }
}

/** Whoever has more of them asks for nothing that anybody needs. */
const maximumMethods = 4

/** Whichever of them the server goes by; of too many the first. */
export function methodsOf(head: RequestHead): ReadonlySet<string> {
  return new Set([...namesOfMethod(head)].slice(0, maximumMethods))
}

function namesOfMethod({ method, headers, parameters }: RequestHead): ReadonlySet<string> {
  const named = [
    ...overrides.flatMap((name) => headerOf(headers, name) ?? []),
    ...parameters.filter(({ name }) => name === '_method').map(({ value }) => value),
  ]
  return new Set([method, ...named.map((other) => other.trim().toUpperCase().slice(0, 32))])
}

/** What a server may take the path for instead needs no allow rule, but no deny rule may be about it. */
function touchesOf(action: string, { path }: RequestHead): Touch[] {
  return [
    { action, object: { kind: 'path', path: path.segments }, origin: 'direct' },
    ...path.otherReadings.map(
      (reading): Touch => ({ action, object: { kind: 'path', path: reading }, origin: 'implied' }),
    ),
    // any classified field may be in the answer
    { action, object: { kind: 'document', path: ['$'] }, origin: 'implied' },
  ]
}

function factsOf({ method, path, headers, parameters }: RequestHead): Record<HttpFact, Fact> {
  const names = parameters.map(({ name }) => name)
  return {
    method,
    path: path.text,
    contentType: mediaType(headerOf(headers, 'content-type')),
    parameters: [...new Set(names)],
    query: parameters.map(({ name, value }) => `${name}=${value}`),
    claims: claimsOf(headers),
    repeated: [...new Set(names.filter((name, index) => names.indexOf(name) !== index))],
  }
}

/** By these servers that trust what is in front of them are told who asks. */
const claims =
  /^(remote-user|x-(remote|forwarded|auth-request|authenticated)-(user|email|groups?|roles?)|impersonate-.*)$/

function claimsOf(headers: HeaderFields): string[] {
  return [...new Set(headers.map(([name]) => name).filter((name) => claims.test(name)))]
}

function mediaType(contentType = ''): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
}

function mergeFacts(all: readonly Understanding[]): Record<string, Record<string, Fact>> {
  const merged: Record<string, Record<string, Fact>> = {}
  for (const { facts } of all)
    for (const [family, values] of Object.entries(facts)) merged[family] = { ...merged[family], ...values }
  return merged
}

function keyOf(head: RequestHead, upgrades: boolean): string {
  const values = ['content-type', ...overrides].map((name) => headerOf(head.headers, name) ?? '')
  return [textOf(head), upgrades, ...values, ...claimsOf(head.headers)].join('\n')
}

/**
 * The Model Context Protocol over HTTP: each message of a request is an action, `mcp:tools/call.<tool>`.
 * https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#streamable-http
 */
import type { Fact, Touch } from '@firebreak/policy'
import type { Result } from '../../../../session.ts'
import { requestTypeOf } from '../../bodies/content-type.ts'
import { type JsonValue, parseJson } from '../../bodies/json/parse.ts'
import type { HttpRequest, RequestAnalysis, RequestHead, Understanding } from '../../request.ts'
import { MemberNames } from '../member-names.ts'
import { ServedPaths } from '../served-paths.ts'
import { readingsOf } from './uri.ts'

/** What conditions see as `command.mcp.<name>`. */
export const mcpFacts = {
  methods: 'of the messages, as `tools/call`, each once',
  tools: 'names of the tools that are called, each once',
  arguments: 'of the tools that are called, as `path.to.argument=value`',
  batch: 'how many messages the request holds',
} as const

type McpFact = keyof typeof mcpFacts

const maximumBodyBytes = 4 * 1024 * 1024
const maximumBatch = 50
const maximumArguments = 1_000

/** What comes with having a session at all, tells what there is, or ends something. */
const baseline = new Set([
  'initialize',
  'ping',
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'logging/setLevel',
])

const messageMembers = new MemberNames(['jsonrpc', 'id', 'method', 'params', 'result', 'error'])
const parameterMembers = new MemberNames([
  ...['name', 'uri', 'arguments', 'argument', 'ref', 'cursor', 'level', 'task', 'taskId', 'requestId'],
  ...['progressToken', 'progress', 'total', 'message', 'reason', '_meta', 'context'],
  ...['protocolVersion', 'capabilities', 'clientInfo'],
])

export class McpAnalysis implements RequestAnalysis {
  readonly #endpoints: ServedPaths

  /** @param endpoints paths at and below which MCP is served, `/mcp`. */
  constructor(endpoints: readonly string[]) {
    this.#endpoints = new ServedPaths(endpoints)
  }

  needs({ path }: RequestHead): number | undefined {
    return this.#endpoints.has(path) ? maximumBodyBytes : undefined
  }

  understand(request: HttpRequest): Understanding {
    // some servers read the body whatever the method
    if (request.method !== 'POST' && request.body && request.body.length > 0)
      return opaque(`${request.method} with a body has no meaning in MCP`)
    if (request.method === 'GET')
      return understood([touchOf('mcp:listen', 'session', 'events', 'baseline')], {})
    if (request.method === 'DELETE') return understood([touchOf('mcp:end', 'session', 'all', 'baseline')], {})
    if (request.method !== 'POST') return opaque(`${request.method} has no meaning in MCP`)
    const messages = readMessages(request)
    if (!messages.ok) return opaque(messages.error)
    const climbs = messages.value.some(({ method, parameters }) => {
      const uri = resourceOf(method, parameters)
      return uri !== undefined && readingsOf(uri).climbs
    })
    if (climbs) return opaque('the address of a resource leads to another one')
    const given = messages.value.flatMap(({ parameters }) => argumentsOf(parameters))
    if (given.length > maximumArguments) return opaque('a tool is called with too many arguments')
    const facts: Record<McpFact, Fact> = {
      methods: [...new Set(messages.value.flatMap(({ method }) => method ?? []))],
      tools: [...new Set(messages.value.flatMap(({ tool }) => tool ?? []))],
      arguments: given,
      batch: messages.value.length,
    }
    return understood(messages.value.flatMap(touchesOfMessage), facts)
  }
}

/** One message, of which the client is the sender. */
export interface McpMessage {
  /** Absent in what answers the server. */
  readonly method: string | undefined
  /** The tool that is called. */
  readonly tool: string | undefined
  /** By which its answer is known; absent where none comes. */
  readonly id: JsonValue | undefined
  readonly parameters: ReadonlyMap<string, JsonValue>
}

/** @returns all messages of a request; or why they can't be seen, in words. */
export function readMessages(request: HttpRequest): Result<readonly McpMessage[], string> {
  const type = requestTypeOf(request.headers)
  if (!type.ok) return type
  if (type.value.mediaType !== 'application/json') return unseen('the messages of MCP are not in JSON')
  const parsed = parseJson(request.body ?? Buffer.alloc(0))
  if (!parsed.ok) return parsed
  const values = Array.isArray(parsed.value) ? (parsed.value as readonly JsonValue[]) : [parsed.value]
  if (values.length === 0 || values.length > maximumBatch)
    return unseen('the batch of messages is empty or too large')
  const messages: McpMessage[] = []
  for (const value of values) {
    const message = readMessage(value)
    if (!message.ok) return message
    messages.push(message.value)
  }
  return { ok: true, value: messages }
}

function readMessage(value: JsonValue): Result<McpMessage, string> {
  if (!(value instanceof Map) || value.get('jsonrpc') !== '2.0')
    return unseen('a message is not one of JSON-RPC 2.0')
  const message = value as ReadonlyMap<string, JsonValue>
  const disguised = messageMembers.inOtherLetters(message)
  if (disguised !== undefined) return unseen(`a message has ${disguised} in other letters`)
  const method = message.get('method')
  const id = message.get('id')
  const answers = message.has('result') || message.has('error')
  if (method === undefined && answers)
    return { ok: true, value: { method: undefined, tool: undefined, id, parameters: new Map() } }
  if (typeof method !== 'string' || answers) return unseen('a message asks and answers, or does neither')
  const given = message.get('params') ?? new Map<string, JsonValue>()
  if (!(given instanceof Map)) return unseen('a message has parameters without names')
  const parameters = given as ReadonlyMap<string, JsonValue>
  const hidden = parameterMembers.inOtherLetters(parameters)
  if (hidden !== undefined) return unseen(`a message has ${hidden} in other letters`)
  const name = parameters.get('name')
  if (method !== 'tools/call') return { ok: true, value: { method, tool: undefined, id, parameters } }
  if (typeof name !== 'string' || name === '') return unseen('a tool is called without its name')
  return { ok: true, value: { method, tool: name, id, parameters } }
}

function touchesOfMessage({ method, tool, parameters }: McpMessage): readonly Touch[] {
  if (method === undefined) return [touchOf('mcp:answer', 'session', 'answer', 'baseline')]
  if (tool !== undefined) return [touchOf(`mcp:tools/call.${tool}`, 'tool', tool, 'direct')]
  const isBaseline = baseline.has(method) || method.startsWith('notifications/')
  const action = `mcp:${method}`
  const uri = resourceOf(method, parameters)
  if (uri !== undefined)
    return [
      touchOf(action, 'resource', uri, isBaseline ? 'baseline' : 'direct'),
      ...readingsOf(uri).others.map((reading) => touchOf(action, 'resource', reading, 'implied')),
    ]
  const name = method.startsWith('prompts/') ? parameters.get('name') : undefined
  return [
    typeof name === 'string' && name !== ''
      ? touchOf(action, 'prompt', name, isBaseline ? 'baseline' : 'direct')
      : touchOf(action, 'method', method, isBaseline ? 'baseline' : 'direct'),
  ]
}

function resourceOf(
  method: string | undefined,
  parameters: ReadonlyMap<string, JsonValue>,
): string | undefined {
  const uri = method?.startsWith('resources/') ? parameters.get('uri') : undefined
  return typeof uri === 'string' && uri !== '' ? uri : undefined
}

function touchOf(action: string, kind: string, name: string, origin: Touch['origin']): Touch {
  return { action, object: { kind, path: [name] }, origin }
}

function argumentsOf(parameters: ReadonlyMap<string, JsonValue>): string[] {
  const found: string[] = []
  const collect = (value: JsonValue, path: string): void => {
    if (found.length > maximumArguments) return
    if (value instanceof Map)
      for (const [name, inner] of value) collect(inner, path === '' ? name : `${path}.${name}`)
    else if (Array.isArray(value)) for (const inner of value as readonly JsonValue[]) collect(inner, path)
    else found.push(`${path}=${String(value)}`)
  }
  collect(parameters.get('arguments') ?? new Map(), '')
  return found
}

function understood(touches: readonly Touch[], facts: Readonly<Record<string, Fact>>): Understanding {
  return { touches, opaque: [], indirectUses: [], facts: { mcp: facts } }
}

function opaque(reason: string): Understanding {
  return { touches: [], opaque: [reason], indirectUses: [], facts: {} }
}

function unseen(error: string): Result<never, string> {
  return { ok: false, error }
}

/** Refusals, waiting and whose a session is, in the words of MCP. */
import type { Result } from '../../../../session.ts'
import type { RefusedRequest } from '../../exchange/client.ts'
import type { Conversation, Waiting, Whose } from '../../exchange/conversation.ts'
import type { Problem, Said } from '../../exchange/problems.ts'
import { headerOf } from '../../head/head.ts'
import type { HttpRequest } from '../../request.ts'
import { type McpMessage, readMessages } from './analysis.ts'
import { withoutNumbers } from './repeatable.ts'
import { sessionHeader, unsealed } from './session-id.ts'

/** Of those that JSON-RPC leaves to servers. */
const refusedCode = -32_010

/** Clients go by the status to begin anew. */
const ofHttp: ReadonlySet<Problem['kind']> = new Set(['unauthenticated', 'malformed', 'unknown-session'])

/** A message that the server answers. */
type Asking = McpMessage & { readonly id: string | number }

export class McpConversation implements Conversation {
  readonly #request: HttpRequest
  readonly #messages: readonly McpMessage[]
  readonly #isBatch: boolean

  constructor(request: HttpRequest) {
    const read = request.method === 'POST' && request.body ? readMessages(request) : undefined
    this.#request = request
    this.#messages = read?.ok ? read.value : []
    this.#isBatch = /^\s*\[/.test(request.body?.toString('utf8', 0, 64) ?? '')
  }

  own(whose: Whose): Result<HttpRequest, RefusedRequest> {
    const headers = unsealed(this.#request.headers, whose)
    return headers
      ? { ok: true, value: { ...this.#request, headers } }
      : { ok: false, error: { status: 404, message: 'there is no such session of this agent' } }
  }

  get repeatable(): HttpRequest {
    const { body } = this.#request
    return body && this.#messages.length > 0
      ? { ...this.#request, body: withoutNumbers(body) }
      : this.#request
  }

  get waiting(): Waiting | undefined {
    const accepts = headerOf(this.#request.headers, 'accept')?.toLowerCase().includes('text/event-stream')
    const [asking] = this.#asking
    // its answer names the session in its head, which a stream that has begun has no place for
    const begins = this.#messages.some(({ method }) => method === 'initialize')
    if (!accepts || !asking || begins) return undefined
    return {
      headers: eventHeaders,
      answer: eventOf,
      still: (message, count) => stillOf(asking, message, count),
    }
  }

  /** Without a session nobody can tell whose numbers they are. */
  get asks(): readonly string[] {
    return this.#named(this.#asking.map(({ id }) => id))
  }

  get cancels(): readonly string[] {
    return this.#named(
      this.#messages.flatMap(({ method, parameters }) => {
        const id = parameters.get('requestId')
        return method === 'notifications/cancelled' && isId(id) ? [id] : []
      }),
    )
  }

  /** What has no one number to answer to hears it from HTTP. */
  refusal(problem: Problem): Said | undefined {
    const asking = this.#asking
    if (ofHttp.has(problem.kind) || asking.length === 0) return undefined
    const answers = asking.map((message) => answerOf(message, problem))
    const body = JSON.stringify(this.#isBatch ? answers : answers[0])
    return { status: 200, contentType: 'application/json', body: Buffer.from(body) }
  }

  get #asking(): readonly Asking[] {
    return this.#messages.flatMap((message) => {
      const { id, method } = message
      return method !== undefined && isId(id) ? [{ ...message, id }] : []
    })
  }

  #named(ids: readonly (string | number)[]): readonly string[] {
    const session = headerOf(this.#request.headers, sessionHeader)
    return session === undefined ? [] : ids.map((id) => JSON.stringify([session, id]))
  }
}

/** A number that isn't exact would answer somebody else. */
function isId(id: unknown): id is string | number {
  return typeof id === 'string' || Number.isSafeInteger(id)
}

/** A refused tool is a result that the model reads; any other refusal is an error of the protocol. */
function answerOf({ id, tool }: Asking, problem: Problem): object {
  const { kind, detail, hint, reference, policy, rule, approval } = problem
  const said = { kind, reference, policy, rule, approval }
  if (tool === undefined)
    return { jsonrpc: '2.0', id, error: { code: refusedCode, message: detail, data: { ...said, hint } } }
  const text = [detail, ...(hint === undefined ? [] : [hint]), `(reference ${reference})`].join('\n')
  const _meta = { 'firebreak.dev/refusal': said }
  return { jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }], isError: true, _meta } }
}

const eventHeaders = [
  ['content-type', 'text/event-stream'],
  ['cache-control', 'no-cache, no-transform'],
] as const

function eventOf(message: Buffer): string {
  const lines = message.toString().split(/\r\n|\r|\n/)
  return `event: message\n${lines.map((line) => `data: ${line}\n`).join('')}\n`
}

/** Progress may only grow, and the server's own, which begins at nothing, comes later. */
const smallest = 1e-6

function stillOf({ parameters }: Asking, message: string, count: number): string {
  const meta = parameters.get('_meta')
  const progressToken = meta instanceof Map ? (meta.get('progressToken') as unknown) : undefined
  if (!isId(progressToken)) return `: ${message.replaceAll(/[\r\n]+/g, ' ')}\n\n`
  const params = { progressToken, progress: count * smallest, message }
  return eventOf(Buffer.from(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })))
}

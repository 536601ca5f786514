/** Three agents that delegate to each other, in front of the shop. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import type { Clock, StandaloneEvent } from '@firebreak/sidecar'
import type pg from 'pg'
import { Guard, type Shop } from './shop.ts'

export interface AgentsOptions {
  readonly address: string
  /** How the orchestrator proves itself. */
  readonly authentication?: string
  /** What else is said of each of them. */
  readonly orchestrator?: string
  readonly planner?: string
  readonly worker?: string
  /** Rules of a policy each. */
  readonly rules?: Readonly<Partial<Record<'all' | 'orchestrator' | 'planner' | 'sql-worker', string>>>
  readonly limits?: Readonly<Partial<Record<'orchestrator' | 'planner' | 'sql-worker', string>>>
}

export const orchestratorToken = 'token-of-the-orchestrator'

/** orchestrator → planner → sql-worker; each may read and write what its policy says, which is everything if it says nothing. */
export function agents({
  address,
  authentication = 'token: {file: {path: token}}',
  orchestrator = 'delegation: {maxDepth: 2}',
  planner = 'delegation: {maxDepth: 1}',
  worker = '',
  rules = {},
  limits = {},
}: AgentsOptions): string {
  const identity = (name: string, more: string): string => `---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: ${name}}
spec:
  access: [{resource: shop, roles: [agent, other]}]
  ${more}
`
  const policy = (name: string, text: string, applies: string, more = ''): string => `---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: ${name}}
spec:
  appliesTo: {${applies}}
  rules: [${text}]
  ${more}
`
  const own = (['orchestrator', 'planner', 'sql-worker'] as const).map((name) => {
    const { [name]: limit } = limits
    const more = limit === undefined ? '' : `limits: ${limit}`
    return policy(`of-${name}`, rules[name] ?? '', `identities: [${name}]`, more)
  })
  const role = 'username: postgres, credential: {env: {password: SHOP_PASSWORD}}'
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: postgresql
  address: ${address}
  database: shop
  tls: {mode: disable}
  roles: [{name: agent, ${role}}, {name: other, ${role}}]
  classification: [{tags: [pii/ssn], columns: [public.customers.ssn]}]
${identity('orchestrator', `authentication: {${authentication}}\n  ${orchestrator}`)}${identity('planner', planner)}${identity('sql-worker', worker)}${policy('everybody', rules.all ?? '{name: anything, match: {actions: ["sql:*"]}, effect: allow}', '')}${own.join('')}`
}

export interface ApiReply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** A gateway with its local API. */
export class Agents implements AsyncDisposable {
  readonly guard: Guard
  readonly apiPort: number
  readonly socket: string
  readonly #shop: Shop

  static async start(
    shop: Shop,
    options: Omit<AgentsOptions, 'address'> = {},
    { clock }: { readonly clock?: Clock } = {},
  ): Promise<Agents> {
    const opened = Promise.withResolvers<Extract<StandaloneEvent, { kind: 'api' }>>()
    const guard = await Guard.start(
      { 'firebreak.yaml': Agents.manifests(shop, options), token: orchestratorToken },
      shop.postgres.password,
      {
        clock,
        api: { host: '127.0.0.1', port: 0 },
        onEvent(event) {
          if (event.kind === 'api') opened.resolve(event)
          if (event.kind === 'apiFailed') opened.reject(new Error(event.message))
        },
      },
    )
    const { address, socket } = await opened.promise
    return new Agents(shop, guard, address.port, socket)
  }

  static manifests({ postgres }: Shop, options: Omit<AgentsOptions, 'address'> = {}): string {
    return agents({ ...options, address: `${postgres.host}:${postgres.port}` })
  }

  private constructor(shop: Shop, guard: Guard, apiPort: number, socket: string) {
    this.#shop = shop
    this.guard = guard
    this.apiPort = apiPort
    this.socket = socket
  }

  ask(
    method: string,
    path: string,
    token: string | undefined,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ApiReply> {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const place = { host: '127.0.0.1', port: this.apiPort }
    return send({ ...place, method, path, headers: { ...authorization, ...headers } }, body)
  }

  /** Asks for a delegation on the Unix socket. */
  askOnSocket(token: string, body: object): Promise<ApiReply> {
    const headers = { authorization: `Bearer ${token}` }
    const place = { socketPath: this.socket, host: 'localhost' }
    return send({ ...place, method: 'POST', path: '/v1/delegations', headers }, body)
  }

  /** The token of a delegation. @throws Error with what the sidecar says. */
  async delegate(
    token: string | undefined,
    to: string,
    scope: object = {},
  ): Promise<{ readonly id: string; readonly token: string }> {
    const { status, body } = await this.ask('POST', '/v1/delegations', token, { to, ...scope })
    if (status !== 201) throw new Error((body as { error: { message: string } }).error.message)
    return body as unknown as { id: string; token: string }
  }

  /** orchestrator → planner → sql-worker, each with less. */
  async chain(
    planner: object = {},
    worker: object = {},
  ): Promise<{
    readonly planner: { readonly id: string; readonly token: string }
    readonly worker: { readonly id: string; readonly token: string }
  }> {
    const first = await this.delegate(orchestratorToken, 'planner', planner)
    return { planner: first, worker: await this.delegate(first.token, 'sql-worker', worker) }
  }

  connect(user: string, token?: string): Promise<pg.Client> {
    return this.#shop.connect(this.guard.address, 'shop', user, token)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guard[Symbol.asyncDispose]()
  }
}

async function send(options: RequestOptions, body: unknown): Promise<ApiReply> {
  const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = { ...(text !== undefined && { 'content-type': 'application/json' }), ...options.headers }
  request({ ...options, agent: false, headers }, resolve)
    .on('error', reject)
    .end(text)
  const response = await promise
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  const answer = Buffer.concat(chunks).toString()
  return { status: response.statusCode ?? 0, body: answer === '' ? {} : JSON.parse(answer) }
}

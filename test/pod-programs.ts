/** An API server that has pods' programs run beside it, and ports that say what they hear, over WebSocket as kube-apiserver has them, and its clients. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { decideRequest, listRequests } from '@firebreak/sidecar'
import { WebSocket, WebSocketServer } from 'ws'
import type { AuditLine } from './audit-trail.ts'
import { eventuallyWith } from './eventually.ts'
import { kubernetesManifests } from './kubernetes-shop.ts'
import { Guard } from './shop.ts'
import { sayWhatIsHeard } from './tunneled-ports.ts'

const eventually = eventuallyWith(() => 'what people are asked')

export const everythingOfPods = '    - {name: all, match: {actions: ["k8s:*"]}, effect: allow}\n'

export class PodPrograms implements AsyncDisposable {
  /** Targets of the requests that reached it, and what was offered. */
  readonly reached: { readonly url: string; readonly protocols: readonly string[] }[] = []
  /** What programs were given, all together. */
  given = ''
  /** Answers with this protocol, whatever was offered. */
  protocol: string | undefined
  /** Written as they are, instead of running anything. */
  messages: readonly Buffer[] | undefined
  readonly #clients = new Set<WebSocket>()
  readonly #server: Server = createServer((_request, response) => response.writeHead(400).end())

  static async start(): Promise<PodPrograms> {
    const programs = new PodPrograms()
    await programs.listen()
    return programs
  }

  constructor() {
    const options = {
      noServer: true,
      handleProtocols: (offered: ReadonlySet<string>) => this.protocol ?? [...offered][0] ?? false,
      // API servers answer as many as there are; its types don't know of it
      maxPendingAutoPongs: 0,
    }
    const sockets = new WebSocketServer(options)
    this.#server.on('upgrade', (request, socket, head) => {
      const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(', ')
      this.reached.push({ url: request.url ?? '', protocols })
      if (protocols.some((protocol) => protocol.includes('/')))
        void sayWhatIsHeard(request, socket).catch(() => {})
      else sockets.handleUpgrade(request, socket, head, (client) => this.#serve(client, request.url ?? ''))
    })
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** As if nothing had reached it. */
  forget(): void {
    this.reached.length = 0
    this.given = ''
    this.protocol = undefined
    this.messages = undefined
  }

  /** In bytes, of what was written and nobody has taken yet. */
  get unsent(): number {
    return [...this.#clients].reduce((sum, { bufferedAmount }) => sum + bufferedAmount, 0)
  }

  async guard(rules = everythingOfPods, policy = '', resource = ''): Promise<Guard> {
    const { port } = this.#server.address() as AddressInfo
    const manifests = kubernetesManifests({ address: `127.0.0.1:${port}`, resource, policy, rules })
    return await Guard.start({ 'firebreak.yaml': manifests }, 'the-secret')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(client: WebSocket, url: string): void {
    this.#clients.add(client)
    client.on('error', () => {}).on('close', () => this.#clients.delete(client))
    if (this.messages) {
      for (const message of this.messages) client.send(message)
      client.close(1000)
      return
    }
    const { pathname, searchParams } = new URL(url, 'http://api')
    if (pathname.endsWith('/portforward')) {
      client.on('message', (message: Buffer) => client.send(message))
      return
    }
    const argv = searchParams.getAll('command')
    const program = spawn(argv[0] ?? '', argv.slice(1), { stdio: 'pipe' })
    const tell = (channel: number) => (bytes: Buffer) =>
      client.send(Buffer.concat([Buffer.of(channel), bytes]))
    program.stdout.on('data', tell(1))
    program.stderr.on('data', tell(2))
    program.stdin.on('error', () => {})
    client.on('message', (message: Buffer) => {
      if (message[0] === 0) {
        this.given += message.subarray(1).toString()
        program.stdin.write(message.subarray(1))
      } else if (message[0] === 255) program.stdin.end()
    })
    // an interactive shell ignores SIGTERM
    client.on('close', () => program.kill('SIGKILL'))
    program.on('close', (code) => {
      tell(3)(Buffer.from(JSON.stringify(statusOf(code))))
      client.close(1000)
    })
  }
}

/** For the tests of a suite: each may have a gateway of its own in front of them. */
export class TestedPods extends PodPrograms {
  #gateway: Guard | undefined

  constructor() {
    super()
    before(() => this.listen())
    after(() => this[Symbol.asyncDispose]())
    beforeEach(() => this.forget())
    afterEach(async () => {
      await this.#gateway?.[Symbol.asyncDispose]()
      this.#gateway = undefined
    })
  }

  get gateway(): Guard {
    if (!this.#gateway) throw new Error('it has not been started')
    return this.#gateway
  }

  readonly start = async (...about: Parameters<PodPrograms['guard']>): Promise<Guard> => {
    this.#gateway = await this.guard(...about)
    return this.#gateway
  }

  /** The audit lines of commands, when there is one of the exec, which is the last. */
  readonly lines = async (): Promise<readonly AuditLine[]> => {
    const ofExec = ({ event, actions }: AuditLine): boolean =>
      event === 'command' && (actions as readonly string[]).includes('k8s:exec')
    await this.gateway.auditLines(ofExec)
    return await this.gateway.audited(1)
  }

  /** @returns the name of the request that people were asked with first, once it is in this state. */
  readonly asked = async (state: 'Pending' | 'Withdrawn'): Promise<string> => {
    const nameAndState = async (): Promise<string> => {
      const [request] = await listRequests(this.#approvals).catch(() => [])
      return `${request?.metadata.name} is ${request?.status?.state}`
    }
    const [name = ''] = (await eventually(nameAndState, new RegExp(` is ${state}$`))).split(' ')
    return name
  }

  readonly approve = async (): Promise<void> => {
    const name = await this.asked('Pending')
    await decideRequest(this.#approvals, name, { decision: 'Approved', reason: 'a test' })
  }

  get #approvals(): string {
    return join(this.gateway.directory, 'approvals')
  }
}

function statusOf(code: number | null): object {
  if (code === 0) return { metadata: {}, status: 'Success' }
  const causes = [{ reason: 'ExitCode', message: String(code) }]
  const message = `command terminated with non-zero exit code: exit status ${code}`
  return { metadata: {}, status: 'Failure', message, reason: 'NonZeroExitCode', details: { causes } }
}

export interface StreamOptions {
  readonly subresource?: string
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
}

/** A client's side of a stream. */
export class PodStream {
  readonly socket: WebSocket
  /** By channel, what came. */
  readonly #seen = new Map<number, string>()
  readonly closed: Promise<number>
  /** What the other side said at its end. */
  reason = ''
  /** What the gateway said instead, as a Status object. */
  readonly refusal: Promise<{ readonly status: number; readonly message: string }>
  #changed = Promise.withResolvers<void>()

  constructor({ address }: Guard, query: string, options: StreamOptions = {}) {
    const { subresource = 'exec', protocols = ['v5.channel.k8s.io'], headers = {} } = options
    const url = `ws://127.0.0.1:${address.port}/api/v1/namespaces/prod/pods/web/${subresource}?${query}`
    this.socket = new WebSocket(url, [...protocols], { headers })
    this.socket.on('error', () => {})
    this.closed = new Promise((resolve) =>
      this.socket.on('close', (code, reason) => {
        this.reason = reason.toString()
        resolve(code)
      }),
    )
    this.refusal = new Promise((resolve) => {
      this.socket.on('unexpected-response', async (_request, response) => {
        let body = ''
        for await (const chunk of response) body += String(chunk)
        const { message } = JSON.parse(body) as { readonly message: string }
        resolve({ status: response.statusCode ?? 0, message })
      })
    })
    this.socket.on('message', (message: Buffer) => {
      const channel = message[0] ?? -1
      this.#seen.set(channel, this.seen(channel) + message.subarray(1).toString())
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
    })
  }

  async open(): Promise<this> {
    if (this.socket.readyState !== WebSocket.OPEN) await once(this.socket, 'open')
    return this
  }

  seen(channel: number): string {
    return this.#seen.get(channel) ?? ''
  }

  send(channel: number, text: string | Buffer): void {
    this.socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)]))
  }

  /** Resolves when a channel has shown something. */
  async shows(channel: number, pattern: RegExp): Promise<string> {
    while (!pattern.test(this.seen(channel))) {
      await Promise.race([this.#changed.promise, this.closed])
      if (this.socket.readyState === WebSocket.CLOSED && !pattern.test(this.seen(channel)))
        throw new Error(`it is over, and never showed ${pattern}: ${JSON.stringify([...this.#seen])}`)
    }
    return this.seen(channel)
  }
}

/** The query of an exec. */
export function execQuery(command: readonly string[], more = ''): string {
  const parameters = command.map((word) => `command=${encodeURIComponent(word)}`)
  return [...parameters, 'stdout=true', 'stderr=true'].join('&') + more
}

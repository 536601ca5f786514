/** A real server of the Model Context Protocol, with tools, prompts and resources of a shop, that remembers what was called. */
import { randomUUID } from 'node:crypto'
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import {
  type EventStore,
  StreamableHTTPServerTransport,
} from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import {
  CallToolRequestSchema,
  type CallToolResult,
  GetPromptRequestSchema,
  type JSONRPCMessage,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'

const toolNames = ['read_customer', 'refund', 'delete_customer', 'ask_person', 'ask_model', 'read_slowly']
const customer = { id: 42, name: 'Ada', email: 'ada@shop.example' }

export class McpServer implements AsyncDisposable {
  /** Names of the tools that ran. */
  readonly called: string[] = []
  readonly #json: boolean
  readonly #http: HttpServer
  readonly #sessions = new Map<string, { transport: StreamableHTTPServerTransport; server: Server }>()

  /** @param json answers as documents instead of events, wherever there is one answer. */
  static async start({ json = false } = {}): Promise<McpServer> {
    const server = new McpServer(json)
    await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', () => resolve()))
    return server
  }

  /** Hears of nothing until it is started, or somebody else's server hands it requests. */
  constructor(json = false) {
    this.#json = json
    this.#http = createServer((request, response) => void this.handle(request, response))
  }

  get address(): string {
    return `127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  /** Says to all clients that there are other tools now. */
  async toolsChanged(): Promise<void> {
    for (const { server } of this.#sessions.values()) await server.sendToolListChanged()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { server } of this.#sessions.values()) await server.close()
    this.#http.closeAllConnections()
    await new Promise((resolve) => this.#http.close(resolve))
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = request.headers['mcp-session-id']
    const known = typeof id === 'string' ? this.#sessions.get(id) : undefined
    if (id !== undefined && !known) {
      response.writeHead(404).end()
      return
    }
    const { transport } = known ?? (await this.#open())
    await transport.handleRequest(request, response)
  }

  async #open(): Promise<{ transport: StreamableHTTPServerTransport; server: Server }> {
    const server = this.#shop()
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: this.#json,
      eventStore: new Events(),
      retryInterval: 10,
      onsessioninitialized: (id) => void this.#sessions.set(id, { transport, server }),
    })
    // its optional members are declared in another way than those of the interface
    await server.connect(transport as Parameters<Server['connect']>[0])
    return { transport, server }
  }

  #shop(): Server {
    const server = new Server(
      { name: 'shop', version: '1.0.0' },
      { capabilities: { tools: { listChanged: true }, prompts: {}, resources: {} } },
    )
    server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
      const [from, to] = params?.cursor === undefined ? [0, 3] : [3, 6]
      const tools = toolNames
        .slice(from, to)
        .map((name) => ({ name, inputSchema: { type: 'object' as const } }))
      return params?.cursor === undefined ? { tools, nextCursor: 'more' } : { tools }
    })
    server.setRequestHandler(CallToolRequestSchema, async ({ params: { name } }, extra) => {
      this.called.push(name)
      if (name === 'read_slowly') extra.closeSSEStream?.()
      if (name === 'ask_person')
        return textOf(
          await server.elicitInput(
            {
              message: 'which?',
              requestedSchema: { type: 'object', properties: { which: { type: 'string' } } },
            },
            { relatedRequestId: extra.requestId },
          ),
        )
      if (name === 'ask_model')
        return textOf(
          await server.createMessage(
            { messages: [{ role: 'user', content: { type: 'text', text: 'who?' } }], maxTokens: 10 },
            { relatedRequestId: extra.requestId },
          ),
        )
      return { ...textOf(customer), structuredContent: customer }
    })
    server.setRequestHandler(ListPromptsRequestSchema, () => ({
      prompts: [{ name: 'greet' }, { name: 'scold' }],
    }))
    server.setRequestHandler(GetPromptRequestSchema, ({ params: { name } }) => ({
      messages: [{ role: 'user', content: { type: 'text', text: name } }],
    }))
    server.setRequestHandler(ListResourcesRequestSchema, () => ({
      resources: ['file:///public/terms.txt', 'file:///secret/keys.txt'].map((uri) => ({ uri, name: uri })),
    }))
    server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
      resourceTemplates: ['file:///public/{name}', 'file:///secret/{name}'].map((uriTemplate) => ({
        uriTemplate,
        name: 'files',
      })),
    }))
    server.setRequestHandler(ReadResourceRequestSchema, ({ params: { uri } }) => ({
      contents: [{ uri, text: `what stands in ${uri}` }],
    }))
    return server
  }
}

function textOf(value: unknown): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(value) }] }
}

/** Events are kept, so that a client can go on where it was cut off. */
class Events implements EventStore {
  readonly #events: { readonly stream: string; readonly message: JSONRPCMessage }[] = []

  storeEvent(stream: string, message: JSONRPCMessage): Promise<string> {
    this.#events.push({ stream, message })
    return Promise.resolve(String(this.#events.length - 1))
  }

  getStreamIdForEventId(id: string): Promise<string | undefined> {
    return Promise.resolve(this.#events[Number(id)]?.stream)
  }

  async replayEventsAfter(
    id: string,
    { send }: Parameters<EventStore['replayEventsAfter']>[1],
  ): Promise<string> {
    const stream = this.#events[Number(id)]?.stream ?? ''
    for (const [number, event] of this.#events.entries())
      if (number > Number(id) && event.stream === stream && 'jsonrpc' in event.message)
        await send(String(number), event.message)
    return stream
  }
}

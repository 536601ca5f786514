/** One of the APIs of http-apis.yaml, in a pod of its own, by TLS: `server.ts NAME`. Says what came. SECRET is what it knows a role by. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { exportJWK, generateKeyPair } from 'jose'
import { answer } from '../../../test/clients/http-programs/answer.ts'
import { orders } from '../../../test/grpc-orders.ts'
import { providerFor } from '../../../test/identity-provider-process.ts'
import { McpServer } from '../../../test/mcp-server.ts'

type Handler = (...exchange: Parameters<RequestListener>) => Promise<void>

const [name = ''] = process.argv.slice(2)
const secret = process.env.SECRET ?? ''
const certificate = readFileSync('/certificate/tls.crt')
const key = readFileSync('/certificate/tls.key')

const servers: Readonly<Record<string, () => Promise<unknown>>> = {
  crm,
  orders: calls,
  tools,
  accounts,
  invoices,
}
await servers[name]?.()

async function crm(): Promise<unknown> {
  return await listen(
    guarded(ofRole, async (request, response) => answer(request, response, await buffer(request))),
  )
}

async function tools(): Promise<unknown> {
  const shop = new McpServer()
  return await listen(
    guarded(ofRole, async (request, response) => {
      response.on('close', () => {
        for (const tool of shop.called.splice(0)) console.log('called', tool)
      })
      await shop.handle(request, response)
    }),
  )
}

/** Gives tokens to who shows the secret as that of the client `crm-agent`. */
async function accounts(): Promise<unknown> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const keys = [{ ...(await exportJWK(privateKey)), kid: 'first', alg: 'RS256', use: 'sig' }]
  const settings = {
    keys: { keys },
    audience: 'https://invoices.data.svc',
    clientSecret: secret,
    subjectTokenKeys: { keys: [] },
  }
  const handle = providerFor(settings, 'https://accounts.data.svc').callback()
  return await listen(async (request, response) => void handle(request, response))
}

async function invoices(): Promise<unknown> {
  return await listen(
    guarded(isActive, async (_request, response) => {
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ invoices: [{ id: 7, total: 12, email: 'ada@shop.example' }] }))
    }),
  )
}

async function calls(): Promise<unknown> {
  const server = new Server()
  const isKnown = (call: { metadata: Metadata }): boolean => {
    const [authorization] = call.metadata.get('authorization')
    return authorization === `Bearer ${secret}`
  }
  const unary = (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void => {
    console.log(call.getPath())
    if (isKnown(call)) done(null, Buffer.from(`order ${call.request}`))
    else done({ code: status.UNAUTHENTICATED, details: 'who are you?' })
  }
  server.addService(
    { get: orders.get, delete: orders.delete, list: orders.list },
    {
      get: unary,
      delete: unary,
      list: (call: ServerWritableStream<Buffer, Buffer>) => {
        console.log(call.getPath())
        if (isKnown(call))
          for (const number of [1, 2, 3]) call.write(Buffer.from(`${call.request} ${number}`))
        call.end()
      },
    },
  )
  const pair = [{ cert_chain: certificate, private_key: key }]
  return await promisify(server.bindAsync.bind(server))('[::]:443', ServerCredentials.createSsl(null, pair))
}

async function listen(handle: Handler): Promise<unknown> {
  const server = createServer({ cert: certificate, key }, (request, response) => {
    console.log(request.method, request.url)
    handle(request, response).catch((error: Error) => {
      console.log(error.message, error.cause)
      response.writeHead(500).end(error.message)
    })
  })
  return await once(server.listen(443), 'listening')
}

function guarded(isKnown: (request: IncomingMessage) => Promise<boolean>, handle: Handler): Handler {
  return async (request, response) => {
    if (await isKnown(request)) await handle(request, response)
    else response.writeHead(401).end('who are you?')
  }
}

async function ofRole({ headers }: IncomingMessage): Promise<boolean> {
  return headers.authorization === `Bearer ${secret}`
}

/** As the accounts say. */
async function isActive({ headers }: IncomingMessage): Promise<boolean> {
  const response = await fetch('https://accounts.data.svc/token/introspection', {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`crm-agent:${secret}`)}` },
    body: new URLSearchParams({ token: (headers.authorization ?? '').slice('Bearer '.length) }),
  })
  return ((await response.json()) as { active: boolean }).active
}

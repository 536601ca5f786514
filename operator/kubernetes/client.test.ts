import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { KubeConfig } from '@kubernetes/client-node'
import { ApiError, KubernetesClient } from './client.ts'
import { agentIdentities } from './objects.ts'

/** A real one puts requests off only while it is in trouble. */
async function serverThat(
  answers: (response: ServerResponse, request: number) => void,
): Promise<AsyncDisposable & { readonly client: KubernetesClient; readonly asked: () => number }> {
  let asked = 0
  const server = createServer((_request, response) => answers(response, ++asked)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const config = new KubeConfig()
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  config.loadFromClusterAndUser({ name: 'test', server: address, skipTLSVerify: true }, { name: 'test' })
  const client = new KubernetesClient(config)
  return {
    client,
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]()
      server.close()
    },
  }
}

function putOff(response: ServerResponse, headers: Record<string, string>): void {
  response.writeHead(429, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify({ kind: 'Status', code: 429, message: 'storage is (re)initializing' }))
}

describe('a request that the API server puts off', function () {
  this.timeout(30_000)

  it('is made again when the server says', async () => {
    await using server = await serverThat((response, request) => {
      if (request === 1) putOff(response, { 'retry-after': '1' })
      else response.end(JSON.stringify({ items: [], metadata: { resourceVersion: '7' } }))
    })
    assert.deepEqual(await server.client.list(agentIdentities), { items: [], resourceVersion: '7' })
    assert.equal(server.asked(), 2)
  })

  it('fails when the server does not say when', async () => {
    await using server = await serverThat((response) => putOff(response, {}))
    await assert.rejects(
      server.client.list(agentIdentities),
      (error) => error instanceof ApiError && error.status === 429 && /initializing/.test(error.message),
    )
    assert.equal(server.asked(), 1)
  })

  it('ends with the client', async () => {
    await using server = await serverThat((response) => putOff(response, { 'retry-after': '10' }))
    const listed = assert.rejects(server.client.list(agentIdentities), { name: 'AbortError' })
    while (server.asked() === 0) await delay(10)
    await delay(500)
    await server.client[Symbol.asyncDispose]()
    await listed
    assert.equal(server.asked(), 1)
  })

  it('ends with its signal', async () => {
    await using server = await serverThat((response) => putOff(response, { 'retry-after': '10' }))
    const stop = new AbortController()
    const listed = assert.rejects(server.client.list(agentIdentities, {}, stop.signal), {
      name: 'AbortError',
    })
    while (server.asked() === 0) await delay(10)
    await delay(100)
    stop.abort()
    await listed
    assert.equal(server.asked(), 1)
  })
})

import assert from 'node:assert/strict'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSigned } from '../../test/certificates.ts'
import { boundedFetch } from './fetch.ts'

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

describe('a request of the sidecar', function () {
  this.timeout(60_000)
  const servers: Server[] = []
  const serve = async (handle: RequestListener): Promise<string> => {
    const server = createServer(handle)
    servers.push(server)
    return `http://127.0.0.1:${await listening(server)}`
  }
  const fetch = boundedFetch({ milliseconds: 20_000, bytes: 1_000 })
  const hurried = boundedFetch({ milliseconds: 300, bytes: 1_000 })

  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      server.close()
    }
  })

  it('sends what it should, and gets the answer', async () => {
    const url = await serve(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify([request.method, request.headers['x-token'], body]))
    })
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'x-token': 'secret' },
      body: new URLSearchParams({ a: 'ä &' }),
    })
    assert.deepEqual(await response.json(), ['POST', 'secret', 'a=%C3%A4+%26'])
    assert.equal(response.headers.get('content-type'), 'application/json')
  })

  it('takes an answer without a body', async () => {
    const url = await serve((_, response) => response.writeHead(204).end())
    assert.equal((await fetch(url)).status, 204)
  })

  it('does not wait for ever, for the answer or for its end', async () => {
    const silent = await serve(() => {})
    await assert.rejects(hurried(silent), /no answer in time/)
    const slow = await serve((_, response) => response.write('a'))
    await assert.rejects(hurried(slow), /no answer in time/)
  })

  it('reads no more than it should', async () => {
    const url = await serve((_, response) => response.end('x'.repeat(2_000)))
    await assert.rejects(fetch(url), /the answer is longer than 1000 bytes/)
  })

  it('follows no redirect, which would take a secret along', async () => {
    let asked = 0
    const elsewhere = await serve((_, response) => {
      asked++
      response.end()
    })
    const url = await serve((_, response) => response.writeHead(302, { location: elsewhere }).end())
    assert.equal((await fetch(url, { headers: { authorization: 'secret' } })).status, 302)
    assert.equal(asked, 0)
  })

  it('leaves this host only encrypted', async () => {
    await assert.rejects(fetch('http://192.0.2.1/keys'), /not reached by https/)
    await assert.rejects(fetch('http://localhost.example/keys'), /not reached by https/)
    await assert.rejects(fetch('file:///etc/passwd'), /not reached by https/)
  })

  it('trusts the authority that it is told, and no other', async () => {
    const own = selfSigned('localhost')
    const server = createSecureServer({ cert: own.certificate, key: own.key }, (_, response) =>
      response.end('secure'),
    )
    servers.push(server)
    const url = `https://localhost:${await listening(server)}`
    const trusting = (ca?: string): ReturnType<typeof boundedFetch> =>
      boundedFetch({ ca, milliseconds: 20_000, bytes: 1_000 })
    assert.equal(await (await trusting(own.certificate)(url)).text(), 'secure')
    await assert.rejects(trusting()(url), /certificate/)
    await assert.rejects(trusting(selfSigned('localhost').certificate)(url), /certificate/)
  })
})

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { selfSigned } from '../../test/certificates.ts'
import type { KeyAndCertificate } from '../certificates/authority.ts'
import { type Admission, allowed } from './admission.ts'
import { WebhookServer, type WebhookServerOptions } from './server.ts'

describe('the server that the API server asks, when it is stopped', function () {
  this.timeout(60_000)
  let certificate: KeyAndCertificate
  let server: WebhookServer
  let port: number
  let agent: Agent
  let sockets: Socket[]
  /** Reviews begin, and end as the test says. */
  let begun: PromiseWithResolvers<void>
  let answer: PromiseWithResolvers<Admission>

  before(() => {
    certificate = selfSigned('localhost')
  })
  const start = async (patience: WebhookServerOptions = {}): Promise<void> => {
    server = await WebhookServer.start(
      certificate,
      new Map([['/review', review]]),
      { reviewed: () => {}, failed: () => {} },
      { host: '127.0.0.1', ...patience },
    )
    port = server.port
  }
  const review = (): Promise<Admission> => {
    begun.resolve()
    return answer.promise
  }
  beforeEach(() => {
    begun = Promise.withResolvers()
    answer = Promise.withResolvers()
    agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      ca: certificate.certificate,
      servername: 'localhost',
    })
    sockets = []
  })
  afterEach(async () => {
    answer.resolve(allowed)
    agent.destroy()
    for (const socket of sockets) socket.destroy()
    await server[Symbol.asyncDispose]()
  })

  const keep = <T extends Socket>(socket: T): T => {
    sockets.push(socket)
    socket.on('error', () => {})
    return socket
  }
  /** As the API server does: one connection for all that it asks. */
  const ask = async (): Promise<{ status: number; body: string; connection: string | undefined }> => {
    const outgoing = request({ agent, host: '127.0.0.1', port, method: 'POST', path: '/review' })
    outgoing.end(
      JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: { uid: 'u' } }),
    )
    const [response] = await once(outgoing, 'response')
    const { statusCode: status = 0, headers } = response
    return { status, body: await text(response), connection: headers.connection }
  }

  it('gives the answer that it was asked for, and takes nothing more by that connection', async () => {
    await start()
    const first = ask()
    await begun.promise
    const stopping = server[Symbol.asyncDispose]()
    answer.resolve(allowed)
    const { status, body, connection } = await first
    assert.equal(status, 200)
    assert.match(body, /"allowed":true/)
    assert.equal(connection, 'close')
    await stopping
    await assert.rejects(ask(), { code: 'ECONNREFUSED' })
  })

  it('tells so by a connection that is asked by once more, and does not just close it', async () => {
    await start({ leaveFor: 20_000 })
    answer.resolve(allowed)
    assert.equal((await ask()).connection, 'keep-alive')
    const stopping = server[Symbol.asyncDispose]()
    assert.equal((await ask()).connection, 'close')
    await stopping
  })

  it('waits neither for a connection that nobody has asked anything by nor for one without TLS, while it reviews', async () => {
    await start()
    const unused = keep(
      connectTls({
        ...{ host: '127.0.0.1', port },
        ...{ ca: certificate.certificate, servername: 'localhost' },
      }),
    )
    const silent = keep(connect(port, '127.0.0.1'))
    await Promise.all([once(unused, 'secureConnect'), once(silent, 'connect')])
    const first = ask()
    await begun.promise
    const closed = [unused, silent].map((socket) => once(socket.resume(), 'close'))
    const stopping = server[Symbol.asyncDispose]()
    await Promise.all(closed)
    answer.resolve(allowed)
    assert.equal((await first).status, 200)
    await stopping
  })

  it('waits for a review no longer than the API server does', async () => {
    await start({ answerWithin: 100 })
    const first = ask()
    await begun.promise
    await Promise.all([assert.rejects(first, { code: 'ECONNRESET' }), server[Symbol.asyncDispose]()])
  })
})

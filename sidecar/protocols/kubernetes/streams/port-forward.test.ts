/** Connections to ports of pods, as clients of WebSocket have them, with and without SPDY within. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { AuditLine } from '../../../../test/audit-trail.ts'
import { PodStream, TestedPods } from '../../../../test/pod-programs.ts'
import type { Guard } from '../../../../test/shop.ts'
import { upgraded } from '../../../../test/spdy-programs.ts'
import { pingMe, Tunnel } from '../../../../test/tunneled-ports.ts'
import { control, data, number, ofPort, type Pairs, SpdyClient } from './testing.ts'

const onePort = `    - name: one-port
      match: {actions: ["k8s:portForward"], condition: "command.k8s.ports.all(port, port == '8080')"}
      effect: allow
`

describe('a port of a pod', function () {
  this.timeout(60_000)
  const pods = new TestedPods()
  const start = (policy?: string): Promise<Guard> => pods.start(onePort, policy)
  const forward = (query: string, protocol: string): PodStream =>
    new PodStream(pods.gateway, query, { subresource: 'portforward', protocols: [protocol] })
  /** What the audit lines of commands say, once one says what is awaited. */
  const lines = async (awaited: RegExp): Promise<readonly string[]> => {
    const said = ({ decision, text }: AuditLine): string => `${decision} ${text}`
    await pods.gateway.auditLines((line) => line.event === 'command' && awaited.test(said(line)))
    return (await pods.gateway.audited(1)).map(said)
  }

  describe('that the request names', () => {
    const protocol = 'v4.channel.k8s.io'

    it('is connected to, if it is allowed', async () => {
      await start()
      const stream = await forward('ports=8080', protocol).open()
      stream.send(0, 'hello')
      await stream.shows(0, /hello/)
      stream.socket.close()
      await stream.closed
      await lines(/^allow GET .*portforward/)
    })

    it('is not connected to, if it is not', async () => {
      await start()
      const { status, message } = await forward('ports=8080&ports=22', protocol).refusal
      assert.equal(status, 403)
      assert.match(message, /no rule allows k8s:portForward/)
      assert.deepEqual(pods.reached, [])
    })

    for (const channel of [1, 2, 255])
      it(`is not written to on channel ${channel}`, async () => {
        await start()
        const stream = await forward('ports=8080', protocol).open()
        stream.send(channel, 'hello')
        await stream.closed
        assert.match(stream.reason, /not its to write to/)
      })
  })

  describe('that is told later', () => {
    const open = async (): Promise<Tunnel> => {
      const path = '/api/v1/namespaces/prod/pods/web/portforward'
      return await Tunnel.open(
        `http://127.0.0.1:${pods.gateway.address.port}${path}`,
        'SPDY/3.1+portforward.k8s.io, SPDY/4+portforward.k8s.io',
      )
    }
    /** What the gateway says when it ends it. */
    const endOf = async (tunnel: Tunnel): Promise<string> => {
      const message = await tunnel.next()
      assert.equal(message?.kind, 'close')
      tunnel.close()
      return message?.kind === 'close' ? message.reason.toString() : ''
    }

    it('is connected to, if it is allowed, and what passes is as it was', async () => {
      await start()
      const tunnel = await open()
      const client = new SpdyClient()
      const whole = Buffer.concat([
        await client.opens(1, ofPort('8080', 'error')),
        await client.opens(3, ofPort('8080', 'data')),
        data(3, 'hello'),
        control(6, number(1)),
      ])
      tunnel.send(whole)
      let heard = Buffer.alloc(0)
      while (heard.length < whole.length) {
        const message = await tunnel.next()
        assert.equal(message?.kind, 'data')
        if (message?.kind === 'data') heard = Buffer.concat([heard, message.bytes])
      }
      assert.ok(heard.equals(whole))
      tunnel.close()
      const found = await lines(/^allow port 8080 of /)
      assert.equal(found.filter((line) => line.startsWith('allow port 8080 of ')).length, 1)
      assert.deepEqual(pods.reached[0]?.protocols, ['SPDY/3.1+portforward.k8s.io'])
    })

    for (const kind of ['error', 'data'])
      it(`ends it all if it is not allowed, by its stream for ${kind}`, async () => {
        await start()
        const tunnel = await open()
        tunnel.send(await new SpdyClient().opens(1, ofPort('22', kind)))
        assert.match(await endOf(tunnel), /no rule allows k8s:portForward/)
        await lines(/^deny port 22 of /)
      })

    const none: readonly (readonly [string, Pairs])[] = [
      ['no port', [['streamtype', 'data']]],
      ['a port with a zero', ofPort('08080', 'data')],
      ['a port that there is none of', ofPort('65536', 'data')],
      ['another kind of stream', ofPort('8080', 'control')],
    ]
    for (const [name, headers] of none)
      it(`ends it all with ${name}`, async () => {
        await start()
        const tunnel = await open()
        tunnel.send(await new SpdyClient().opens(1, headers))
        assert.match(await endOf(tunnel), /none of a port/)
      })
  })

  describe('that is told later, over SPDY as it is', () => {
    const open = async (): Promise<Duplex> => {
      const protocols = ['portforward.k8s.io']
      const answer = await upgraded(pods.gateway, '', { subresource: 'portforward', protocols })
      assert.ok('socket' in answer)
      assert.equal(answer.protocol, 'SPDY/3.1 portforward.k8s.io')
      return answer.socket
    }
    const hears = async (socket: Duplex, expected: Buffer): Promise<void> => {
      let heard = Buffer.alloc(0)
      while (heard.length < expected.length) {
        const [chunk] = (await once(socket, 'data')) as [Buffer]
        heard = Buffer.concat([heard, chunk])
      }
      assert.ok(heard.equals(expected))
    }
    const opening = async (port: string, kind: string): Promise<Buffer> =>
      await new SpdyClient().opens(1, ofPort(port, kind))

    it('is connected to, if it is allowed, and what passes is as it was', async () => {
      await start()
      const socket = await open()
      const client = new SpdyClient()
      const whole = Buffer.concat([
        await client.opens(1, ofPort('8080', 'error')),
        await client.opens(3, ofPort('8080', 'data')),
        data(3, 'hello'),
        control(6, number(1)),
      ])
      socket.write(whole)
      await hears(socket, whole)
      socket.destroy()
      const found = await lines(/^allow port 8080 of /)
      assert.equal(found.filter((line) => line.startsWith('allow port 8080 of ')).length, 1)
      assert.deepEqual(pods.reached[0]?.protocols, ['SPDY/3.1+portforward.k8s.io'])
    })

    it('is there for an API server that asks whether it is', async () => {
      await start()
      const socket = await open()
      const opened = await opening('8080', 'data')
      socket.write(opened)
      await hears(socket, opened)
      const asking = data(1, pingMe)
      socket.write(asking)
      await hears(socket, asking)
      socket.destroy()
    })

    const ends: readonly (readonly [string, () => Promise<Buffer>, RegExp])[] = [
      ['is not allowed', () => opening('22', 'data'), /^deny port 22 of /],
      ['is not allowed, by its stream for errors', () => opening('22', 'error'), /^deny port 22 of /],
      ['is none', () => opening('65536', 'data'), /^allow GET .*portforward/],
      ['has a stream of another kind', () => opening('8080', 'control'), /^allow GET .*portforward/],
      ['is told in no SPDY', async () => Buffer.alloc(8, 0xff), /^allow GET .*portforward/],
    ]
    for (const [name, bytes, line] of ends)
      it(`ends it all if it ${name}`, async () => {
        await start()
        const socket = await open()
        let heard = 0
        socket.on('data', (chunk: Buffer) => {
          heard += chunk.length
        })
        socket.on('end', () => socket.end())
        socket.write(await bytes())
        await once(socket, 'close')
        assert.equal(heard, 0)
        const found = await lines(line)
        assert.ok(found.every((each) => !each.startsWith('allow port ')))
      })
  })

  it('is not connected to where detectors would have to look', async () => {
    await start('  detection: {kinds: [email]}\n')
    const { status, message } = await forward('ports=8080', 'v4.channel.k8s.io').refusal
    assert.equal(status, 403)
    assert.match(message, /may be what is masked/)
  })
})

/** Streams that have begun, when the policy becomes another one: they end by themselves, though nothing passes, or go on. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { everythingOfPods, execQuery, PodStream, TestedPods } from '../../../../test/pod-programs.ts'
import { Tunnel } from '../../../../test/tunneled-ports.ts'
import { data, ofPort, SpdyClient } from './testing.ts'

const classification =
  '  classification: [{tags: [secret], fields: ["*.secrets.*.data"]}, {tags: [plain], fields: ["*.configmaps.*.data"]}]\n'
const masking = (tag: string): string =>
  `    - {name: hide, match: {tags: [${tag}]}, effect: mask, mask: {strategy: redact}}\n`
const onlyPort = (port: string): string => `    - name: port
      match: {actions: ["k8s:portForward"], condition: "command.k8s.ports.all(port, port == '${port}')"}
      effect: allow
`

describe('a stream of a pod whose policy becomes another one', function () {
  this.timeout(60_000)
  const pods = new TestedPods()

  const change = (from: string, to: string): void => {
    const path = join(pods.gateway.directory, 'firebreak.yaml')
    const manifests = readFileSync(path, 'utf8')
    assert.ok(manifests.includes(from))
    writeFileSync(path, manifests.replace(from, to))
  }
  const exec = (command: readonly string[]): PodStream =>
    new PodStream(pods.gateway, execQuery(command, '&stdin=true'))
  const running = async (before: string): Promise<PodStream> => {
    await pods.start(before, '', classification)
    const stream = await exec(['cat']).open()
    stream.send(0, 'before\n')
    await stream.shows(1, /before/)
    return stream
  }

  const plain = masking('plain')
  const ends: readonly (readonly [string, string, string, string, RegExp])[] = [
    [
      'is denied',
      everythingOfPods,
      everythingOfPods,
      `${everythingOfPods}    - {name: no, match: {actions: ["k8s:exec"]}, effect: deny}\n`,
      /denied/,
    ],
    [
      'needs people who have not been asked',
      everythingOfPods,
      everythingOfPods,
      `${everythingOfPods}    - {name: ask, match: {actions: ["k8s:exec"]}, effect: requireApproval, approval: {expiresAfter: 5m}}\n`,
      /changed meanwhile/,
    ],
    [
      'is to be looked through',
      everythingOfPods,
      '  rules:\n',
      '  detection: {kinds: [email]}\n  rules:\n',
      /masked in it has changed/,
    ],
    [
      'may show what is masked by now',
      everythingOfPods + plain,
      plain,
      masking('secret'),
      /may be what is masked/,
    ],
  ]
  for (const [name, before, from, to, says] of ends)
    it(`ends where it ${name}`, async () => {
      const stream = await running(before)
      change(from, to)
      assert.equal(await stream.closed, 1000)
      assert.match(stream.seen(3), says)
    })

  it('goes on where it is still allowed', async () => {
    const stream = await running(everythingOfPods)
    const other = '    - {name: no, match: {actions: ["k8s:delete"]}, effect: deny}\n'
    change(everythingOfPods, everythingOfPods + other)
    const { host, port } = pods.gateway.address
    for (;;) {
      const url = `http://${host}:${port}/api/v1/namespaces/prod/pods/web`
      const { status } = await fetch(url, { method: 'DELETE' })
      if (status === 403) break
    }
    stream.send(0, 'after\n')
    await stream.shows(1, /after/)
    stream.socket.close()
    await stream.closed
  })

  it('ends where a port is connected to that is not allowed any more', async () => {
    const { address } = await pods.start(onlyPort('8080'))
    const path = '/api/v1/namespaces/prod/pods/web/portforward'
    const url = `http://127.0.0.1:${address.port}${path}`
    const tunnel = await Tunnel.open(url, 'SPDY/3.1+portforward.k8s.io')
    const client = new SpdyClient()
    const opening = Buffer.concat([await client.opens(1, ofPort('8080', 'data')), data(1, 'before')])
    tunnel.send(opening)
    for (let heard = 0; heard < opening.length; ) {
      const message = await tunnel.next()
      assert.equal(message?.kind, 'data')
      if (message?.kind === 'data') heard += message.bytes.length
    }
    change(onlyPort('8080'), onlyPort('9090'))
    const end = await tunnel.next()
    assert.equal(end?.kind, 'close')
    assert.match(end?.kind === 'close' ? end.reason.toString() : '', /no rule allows k8s:portForward/)
    tunnel.close()
  })
})

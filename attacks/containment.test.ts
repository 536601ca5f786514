import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { ContainedPod } from '../test/contained-pod.ts'
import { describeInPods, type PodProcess, type PodUser, uids } from '../test/pod-network.ts'
import { attacksDirectory } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly attempt?: readonly string[]
  readonly command?: readonly string[]
  readonly psql?: string
  readonly says?: string
  readonly audited?: string
  readonly open?: boolean
}

const { attacks, benign } = parse(readFileSync(new URL('containment.yaml', attacksDirectory), 'utf8')) as {
  attacks: Case[]
  benign: Case[]
}
const script = fileURLToPath(new URL('containment/attempt.py', attacksDirectory))
const watcher = fileURLToPath(new URL('containment/watch.py', attacksDirectory))
const metadata = ['169.254.169.254', 'fd00:ec2::254']
const other = '10.255.255.1'
const users: readonly PodUser[] = ['agent', 'agent root']

describeInPods('a contained pod', function () {
  this.timeout(300_000)
  let pod: ContainedPod
  let watch: PodProcess
  let names: ReadonlyMap<string, string>
  const arrivals: string[] = []
  const canaries: (() => void)[] = []

  const filled = (text: string): string =>
    [...names].reduce((filling, [name, value]) => filling.replaceAll(name, value), text)
  const attempt = (user: PodUser, words: readonly string[]) =>
    pod.network.run(user, ['/usr/bin/python3', script, ...words.map(filled)])
  const perform = async (user: PodUser, { attempt: words, command = [] }: Case): Promise<string> =>
    (words ? await attempt(user, words) : await pod.network.run(user, command.map(filled))).output

  before(async function () {
    // programs are fetched the first time
    this.timeout('20m')
    pod = await ContainedPod.create([
      `${other}/32`,
      ...metadata.map((a) => `${a}/${a.includes(':') ? 128 : 32}`),
    ])
    const { outside, inside } = pod.network
    names = new Map([
      ['OUTSIDE6', outside.ipv6],
      ['OUTSIDE', outside.ipv4],
      ['OTHER', other],
      ['INSIDE', inside.ipv4],
      ['DATABASE', String(pod.shop.postgres.port)],
      ['RESOLVER', outside.ipv4],
      ['REVERSE', `${outside.ipv4.split('.').reverse().join('.')}.in-addr.arpa`],
      ['ENVOY', String(uids.envoy)],
      ['ENFORCER', String(uids.enforcer)],
      ['RUN', pod.network.runDirectory],
      ['SCRIPT', script],
    ])
    const { port } = pod.shop.postgres
    const hosts = [outside.ipv4, outside.ipv6]
    for (const host of hosts) canaries.push(await tcpCanary(host, 9999), await udpCanary(host, 9999))
    for (const host of hosts) canaries.push(await udpCanary(host, 443))
    canaries.push(
      await tcpCanary(outside.ipv4, 853),
      await tcpCanary(other, port),
      await udpCanary(other, 53),
    )
    for (const host of metadata) canaries.push(await tcpCanary(host, 80), await udpCanary(host, 123))
  })
  after(async () => {
    await watch?.end('SIGKILL')
    for (const close of canaries) close()
    await pod?.[Symbol.asyncDispose]()
  })

  it('would get out in these ways if it were not contained', async () => {
    const ways = attacks.filter(({ open }) => open)
    for (const { name, attempt: words = [] } of ways)
      assert.match((await attempt('agent', words)).output, /^out: /, name)
    assert.match((await attempt('agent', ['dns', 'RESOLVER', 'a.evil.example'])).output, /^out: 1 answers/)
    assert.ok(arrivals.length > 0)
    await settled(() => arrivals.length)
    arrivals.length = 0
  })

  it('is contained before its sidecars are there', async () => {
    const { code, output } = await pod.contain()
    assert.equal(code, 0, output)
    watch = await watchWire(pod)
    assert.match((await attempt('agent', ['tcp', 'OUTSIDE', '9999'])).output, /ECONNREFUSED/)
    assert.match((await attempt('agent', ['dns', 'RESOLVER', 'api.example'])).output, /ECONNREFUSED/)
    assert.match((await attempt('agent', ['udp', 'OUTSIDE', '443'])).output, /EPERM/)
    assert.match((await pod.psql('agent', pod.network.outside.ipv4, 'SELECT 1')).output, /refused/)
    await nothingGotOut()
    await pod.startEnforcer()
    await pod.startEnvoy()
  })

  for (const user of users) {
    for (const each of benign)
      it(`lets the ${user} use ${each.name}`, async () => {
        if (each.psql === undefined) {
          assert.match(await perform(user, each), new RegExp(`^out: .*${each.says}`))
          return
        }
        const read = 'SELECT id, email FROM customers ORDER BY id LIMIT 1'
        const { output } = await pod.psql(user, filled(each.psql), read)
        assert.match(output, /^1\|[^@]*$/m)
        assert.doesNotMatch(output, /person1|error/i)
        assert.match((await pod.psql(user, filled(each.psql), 'DROP TABLE orders')).output, /denied/i)
      })
  }

  for (const user of users) {
    for (const each of attacks)
      it(`stops the ${user} from ${each.name}`, async () => {
        const output = await perform(user, each)
        assert.match(output, new RegExp(filled(each.says ?? '')), output)
        if (each.attempt && each.says !== '(stopped|out: )') assert.doesNotMatch(output, /^out: /)
        if (each.audited !== undefined) await isAudited(filled(each.audited))
        await nothingGotOut()
      })
  }

  it('stays contained, and works again, when a sidecar is killed', async () => {
    const words = ['loop', 'OUTSIDE', 'DATABASE', '9999', '12']
    const trying = users.map((user) => attempt(user, words))
    await works()
    const holding = pod.psql('agent', '127.0.0.1', 'SELECT 1', '\\! sleep 5')
    const [address, port] = await connectionOfEnforcer()
    await pod.killEnforcer()
    await settled(() => watch.log)
    const before = seen('database').length
    for (const user of users)
      assert.match(
        (await attempt(user, ['tcp', address, 'DATABASE', port])).output,
        /^stopped/,
        "the enforcer's own way",
      )
    assert.match(
      (await pod.psql('agent', pod.network.outside.ipv4, 'SELECT 1')).output,
      /closed|refused|terminat/,
    )
    assert.match((await attempt('agent', ['dns', 'RESOLVER', 'api.example'])).output, /stopped/)
    assert.equal(seen('database').length, before, 'nobody reached the database without the enforcer')
    await holding
    await pod.startEnforcer()
    await works()
    await pod.killEnvoy()
    assert.match((await pod.psql('agent', pod.network.outside.ipv4, 'SELECT 1')).output, /refused/)
    assert.match((await attempt('agent', ['tcp', 'OUTSIDE', '9999'])).output, /ECONNREFUSED/)
    await pod.startEnvoy()
    await works()
    for (const { output } of await Promise.all(trying)) {
      assert.match(output, /tries: \d{2,}/)
      assert.doesNotMatch(output, /^out: /m)
    }
    await nothingGotOut()
  })

  it("lets nobody take a sidecar's place while it is away", async () => {
    await pod.killEnvoy()
    for (const user of users) {
      const impostor = attempt(user, ['listen', '15001', '3'])
      await new Promise((resolve) => setTimeout(resolve, 500))
      assert.doesNotMatch((await attempt('agent', ['tcp', 'OUTSIDE', '9999'])).output, /^out: /)
      assert.match((await impostor).output, /stopped/)
    }
    await pod.startEnvoy()
    await works()
  })

  it('counts in the kernel what it refuses', async () => {
    const { output } = await pod.network.run('rules', [
      'nft',
      '-j',
      'list',
      'counters',
      'table',
      'inet',
      'firebreak',
    ])
    const counters = (JSON.parse(output) as { nftables: { counter?: { name: string; packets: number } }[] })
      .nftables
    const packets = new Map(
      counters.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
    )
    for (const kind of ['udp', 'icmp', 'icmpv6', 'capture'])
      assert.ok(Number(packets.get(`refused-${kind}`)) > 0, `refused-${kind}`)
  })

  /** By which address it has come to the database, and from which port. */
  const connectionOfEnforcer = async (): Promise<readonly [string, string]> => {
    const { ipv4, ipv6 } = pod.network.inside
    const query = `SELECT host(client_addr) AS address, client_port AS port FROM pg_stat_activity
      WHERE client_addr IN ('${ipv4}', '${ipv6}') ORDER BY backend_start DESC`
    const until = performance.now() + 60_000
    for (;;) {
      const [row] = (await pod.shop.admin('shop', query)).rows as { address: string; port: number }[]
      if (row) return [row.address === ipv4 ? 'OUTSIDE' : 'OUTSIDE6', String(row.port)]
      assert.ok(performance.now() < until, 'the enforcer has come to the database')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** What is told of the past may come late: until nothing is told for a while. */
  const settled = async (told: () => unknown): Promise<void> => {
    for (let before: unknown; before !== told(); await new Promise((resolve) => setTimeout(resolve, 300)))
      before = told()
  }

  const works = async (): Promise<void> => {
    const { output } = await pod.psql('agent', pod.network.outside.ipv4, 'SELECT count(*) FROM orders')
    assert.match(output, /^\d+$/m)
  }

  const seen = (what: string): string[] => watch.log.split('\n').filter((line) => line.startsWith(what))

  /** What the sidecars have to do with the outside is known: everything else is a way out. */
  const nothingGotOut = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    const odd = watch.log.split('\n').filter((line) => !/^(watching|database .*|)$/.test(line))
    assert.deepEqual(odd, [])
    assert.deepEqual(arrivals, [])
    assert.doesNotMatch(pod.asked, /exfiltrated/i)
  }

  /** Datagrams are counted every second. */
  const isAudited = async (what: string): Promise<void> => {
    await pod.auditLines(
      ({ event, identity, destination, name, kind }) =>
        event === 'egress.refused' &&
        identity === 'agents/support-bot' &&
        [destination, name, kind].some((value) => String(value).includes(what)),
    )
  }

  const tcpCanary = async (host: string, port: number): Promise<() => void> => {
    const server: Server = createServer((client) => {
      arrivals.push(`tcp ${host}:${port}`)
      client
        .on('error', () => {})
        .resume()
        .end('canary')
    })
    await new Promise<void>((resolve) => server.listen(port, host, resolve))
    return () => server.close()
  }

  const udpCanary = async (host: string, port: number): Promise<() => void> => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    socket.on('message', (_, from) => {
      arrivals.push(`udp ${host}:${port}`)
      socket.send('canary', from.port, from.address)
    })
    await new Promise<void>((resolve) => socket.bind(port, host, resolve))
    return () => socket.close()
  }
})

async function watchWire(pod: ContainedPod): Promise<PodProcess> {
  const { network, shop } = pod
  const words = [
    watcher,
    network.interface,
    network.macAddress,
    String(shop.postgres.port),
    network.outside.ipv4,
  ]
  return await network.startOutside(['/usr/bin/python3', ...words], /watching/)
}

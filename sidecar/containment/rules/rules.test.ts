import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describeInPods, PodNetwork, type Ran, uids } from '../../../test/pod-network.ts'
import { differs } from './apply.ts'
import { chains, ruleset } from './rules.ts'

const users = { envoy: 1_001, enforcer: 1_002 }
const cli = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url))

describe('the rules of a contained pod', () => {
  const [capture, outgoing] = chains(users)
  const rulesOf = (name: string): readonly string[] =>
    chains(users).find((chain) => chain.name === name)?.rules ?? []

  const orders: readonly (readonly [what: string, first: RegExp, then: RegExp, chain: string])[] = [
    ['sidecars are not captured', /skuid .* return/, /redirect/, 'capture'],
    ['what stays inside is not captured', /"lo" return/, /redirect/, 'capture'],
    [
      'DNS goes to the enforcer before TCP goes to Envoy',
      /dport 53 redirect to :15053/,
      /tcp redirect to :15001/,
      'capture',
    ],
    ['a first packet is refused before answers pass', /== syn goto refuse/, /direction reply/, 'outgoing'],
    [
      'a process is refused before marked packets pass',
      /skuid 0-4294967295 goto refuse/,
      /ct mark/,
      'outgoing',
    ],
    [
      'redirected connections pass before direct ones are refused',
      /15001 ct status dnat accept/,
      /15001 goto refuse/,
      'inside',
    ],
  ]
  for (const [what, first, then, chain] of orders)
    it(what, () => {
      const rules = rulesOf(chain)
      const at = rules.findIndex((rule) => first.test(rule))
      assert.ok(at >= 0 && at < rules.findIndex((rule) => then.test(rule)), rules.join('\n'))
    })

  it('drop what no rule is about, in, out and through', () => {
    const hooks = chains(users).flatMap(({ hook }) =>
      hook?.type === 'filter' ? [`${hook.on} ${hook.policy}`] : [],
    )
    assert.deepEqual(hooks.sort(), ['forward drop', 'input drop', 'output drop'])
    assert.equal(outgoing?.rules.at(-1), 'goto refuse')
    assert.equal(capture?.hook?.on, 'output')
  })

  it('are one transaction that replaces a table as a whole', () => {
    const lines = ruleset(users).split('\n')
    assert.deepEqual(lines.slice(0, 3), [
      'table inet firebreak {}',
      'delete table inet firebreak',
      'table inet firebreak {',
    ])
  })
})

describe('firebreak contain', function () {
  this.timeout(120_000)
  const wrong = [
    [],
    ['--envoy-uid=1001'],
    ['--envoy-uid=0', '--enforcer-uid=1002'],
    ['--envoy-uid=1001', '--enforcer-uid=1001'],
    ['--envoy-uid=1001', '--enforcer-uid=1002; accept'],
    ['--envoy-uid=4294967295', '--enforcer-uid=1002'],
    ['--envoy-uid=1001', '--enforcer-uid=1002', 'more'],
    ['--envoy-uid=1001', '--enforcer-uid=1002', '--await=0'],
    ['--envoy-uid=1001', '--enforcer-uid=1002', '--await=65536'],
  ]
  for (const words of wrong)
    it(`refuses ${words.join(' ') || 'nothing'}`, async () => {
      const { code, output } = await runCli(words)
      assert.equal(code, 2)
      assert.match(output, /error: /)
    })

  it('says that nft is missing', async () => {
    const { code, output } = await runCli(['--envoy-uid=1001', '--enforcer-uid=1002'], { PATH: '/nowhere' })
    assert.equal(code, 1)
    assert.match(output, /there is no program nft/)
  })
})

describeInPods('firebreak contain in a network namespace', function () {
  this.timeout(120_000)
  let pod: PodNetwork
  const containing = [
    process.execPath,
    cli,
    'contain',
    `--envoy-uid=${uids.envoy}`,
    `--enforcer-uid=${uids.enforcer}`,
  ]
  const contain = (user: 'rules' | 'agent root'): Promise<Ran> => pod.run(user, containing)
  const nft = async (...words: string[]): Promise<string> =>
    (await pod.run('rules', ['nft', ...words])).output

  before(async function () {
    // programs are fetched the first time
    this.timeout(300_000)
    pod = await PodNetwork.create()
  })
  after(() => pod[Symbol.asyncDispose]())

  it('fails, and says what it takes, without NET_ADMIN', async () => {
    const { code, output } = await contain('agent root')
    assert.equal(code, 1)
    assert.match(output, /it takes root with the capability NET_ADMIN/)
    assert.equal(await nft('list', 'ruleset'), '')
  })

  it('leaves the rules complete, however often it runs', async () => {
    for (let run = 0; run < 3; run++) assert.equal((await contain('rules')).code, 0)
    const listed = JSON.parse(await nft('-j', 'list', 'table', 'inet', 'firebreak'))
    assert.equal(differs(listed, uids), undefined)
    assert.match(differs(listed, { ...uids, envoy: 77 }) ?? '', /excepts another user/)
  })

  it('has no moment without rules when it runs again', async () => {
    const trying = pod.run('agent', [
      '/usr/bin/python3',
      fileURLToPath(new URL('../../../attacks/containment/attempt.py', import.meta.url)),
      ...['loop', pod.outside.ipv4, '1', '2', '3'],
    ])
    for (let run = 0; run < 4; run++) assert.equal((await contain('rules')).code, 0)
    const { output } = await trying
    assert.match(output, /tries: \d{3,}/)
    assert.doesNotMatch(output, /^out/m)
  })

  const damages = [
    ['a rule that is gone', ['flush', 'chain', 'inet', 'firebreak', 'refuse'], /chain refuse has 0 rules/],
    [
      'a rule that was put before',
      ['insert', 'rule', 'inet', 'firebreak', 'outgoing', 'accept'],
      /chain outgoing has \d+ rules/,
    ],
    [
      'another policy',
      ['chain', 'inet', 'firebreak', 'incoming', '{ policy accept; }'],
      /chain incoming is filter input 0 accept/,
    ],
    ['another chain', ['add', 'chain', 'inet', 'firebreak', 'more'], /there are 9 chains instead of 8/],
  ] as const
  for (const [what, words, expected] of damages)
    it(`notices ${what}`, async () => {
      assert.equal((await contain('rules')).code, 0)
      await nft(...words)
      assert.match(
        differs(JSON.parse(await nft('-j', 'list', 'table', 'inet', 'firebreak')), uids) ?? '',
        expected,
      )
    })

  it('ends, where it is to wait, only once the enforcer says that all is in force', async () => {
    const waiting = pod.run('rules', [...containing, '--await=15021'])
    // says what is missing until it is told by a signal that nothing is
    const program = `let status = 503
process.on('SIGUSR2', () => { status = 200 })
require('node:http').createServer(({ url }, response) => {
  console.log('asked for ' + url)
  response.writeHead(url === '/ready/capture' ? status : 404).end('no configuration is in force yet')
}).listen(15021, () => console.log('listening'))`
    await using enforcer = await pod.start('enforcer', [process.execPath, '-e', program], /listening/)
    await enforcer.says(/asked for/)
    const listed = await nft('-j', 'list', 'table', 'inet', 'firebreak')
    assert.equal(differs(JSON.parse(listed), uids), undefined)
    process.kill(enforcer.pid, 'SIGUSR2')
    const { code, output } = await waiting
    assert.equal(code, 0)
    assert.match(
      output,
      /^contained: .*^waiting: no configuration is in force yet$.*^.*the agent may start$/ms,
    )
  })

  it('has not succeeded when it is stopped while it waits', async () => {
    const waiting = await pod.start('rules', [...containing, '--await=15021'], /enforcer doesn't answer yet/)
    assert.equal(await waiting.end('SIGTERM'), 1)
    assert.match(waiting.log, /stopped by SIGTERM/)
  })

  it('lets the pod be called, and answer, by TCP and not by UDP', async () => {
    assert.equal((await contain('rules')).code, 0)
    const serve = [
      'import http.server, socketserver',
      'class Server(socketserver.TCPServer): address_family = 10',
      'server = Server(("::", 8080), http.server.SimpleHTTPRequestHandler)',
      'print("serving", flush=True)',
      'server.serve_forever()',
    ].join('\n')
    await using server = {
      process: await pod.start('agent', ['/usr/bin/python3', '-c', serve], /serving/),
      async [Symbol.asyncDispose]() {
        await this.process.end('SIGKILL')
      },
    }
    assert.ok(server.process)
    for (const host of [pod.inside.ipv4, pod.inside.ipv6])
      assert.equal(
        (await fetch(`http://${host.includes(':') ? `[${host}]` : host}:8080/`, { method: 'HEAD' })).status,
        200,
      )
    assert.equal(await reaches(pod.inside.ipv4, 8081, 30_000), 'ECONNREFUSED')
    assert.equal(await reaches(pod.inside.ipv4, 15053, 1_000), 'silent')
  })

  it('lets sidecars out by TCP, and nobody else', async () => {
    const web = createServer((_, response) => response.end('here'))
    await new Promise<void>((resolve) => web.listen(0, pod.outside.ipv4, resolve))
    const address = web.address()
    const port = String(typeof address === 'object' ? address?.port : 0)
    const attempt = fileURLToPath(new URL('../../../attacks/containment/attempt.py', import.meta.url))
    const tried = async (user: 'envoy' | 'enforcer' | 'agent', words: readonly string[]): Promise<string> =>
      (await pod.run(user, ['/usr/bin/python3', attempt, ...words])).output
    for (const user of ['envoy', 'enforcer'] as const) {
      assert.match(await tried(user, ['tcp', pod.outside.ipv4, port]), /^out: b'HTTP/)
      assert.match(await tried(user, ['udp', pod.outside.ipv4, '443']), /EPERM/)
    }
    assert.match(await tried('agent', ['tcp', pod.outside.ipv4, port]), /ECONNREFUSED/)
    web.close()
  })
})

function runCli(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const child = spawn(process.execPath, [cli, 'contain', ...words], {
    env: { ...process.env, ...environment },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk
    })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })))
}

function reaches(host: string, port: number, patience: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => end('connected'))
    const timer = setTimeout(() => end('silent'), patience)
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? ''))
    const end = (what: string): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(what)
    }
  })
}

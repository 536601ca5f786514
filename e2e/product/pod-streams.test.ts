/** Real kubectl runs programs in real pods, through the gateway. */
import assert from 'node:assert/strict'
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { parse, stringify } from 'yaml'
import { eventuallyWith } from '../../test/eventually.ts'
import { kubernetesManifests } from '../../test/kubernetes-shop.ts'
import { Guard } from '../../test/shop.ts'
import { attemptCommand, type Output } from '../cluster/command.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import { Kubectl, type RunOptions } from '../cluster/kubectl.ts'
import { describeOnCluster } from '../suite.ts'

const namespace = 'streams'

const rules = `    - {name: look, match: {actions: ["k8s:get", "k8s:list", "k8s:watch", "k8s:log"]}, effect: allow}
    - name: run
      match: {actions: ["k8s:exec"], condition: "command.shell.programs.all(program, program in ['sh', 'bash', 'echo', 'cat', 'ls'])"}
      effect: allow
    - name: lines
      match: {actions: ["k8s:shell"], condition: "command.shell.programs.all(program, program in ['echo', 'ls', 'exit'])"}
      effect: allow
    - {name: copy, match: {actions: ["k8s:copyFrom", "k8s:copyTo"], condition: "command.k8s.paths.all(path, path.startsWith('tmp/') || path.startsWith('/tmp'))"}, effect: allow}
    - {name: connect, match: {actions: ["k8s:portForward"], condition: "command.k8s.ports.all(port, port == '8080')"}, effect: allow}
    - {name: listen, match: {actions: ["k8s:attach", "k8s:stdin"], objects: [${namespace}.pods.listener]}, effect: allow}
`

/** Says on which port it is. */
const serving = `
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from %d" % self.server.server_port)
for port in (8080, 8081):
    threading.Thread(target=http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever).start()
`

const connecting = "import socket; socket.create_connection(('127.0.0.1', 8081))"
const readinessProbe = { exec: { command: ['python3', '-c', connecting] }, periodSeconds: 1 }

/** How kubectl is told what to speak, and by which method it asks then. */
const protocols = [
  { name: 'WebSocket', environment: {}, method: 'GET' },
  {
    name: 'SPDY',
    environment: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' },
    method: 'POST',
  },
] as const

const pod = (name: string, command: readonly string[], more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'box', image: toolsImage, command, ...more }],
  },
})

describeOnCluster('kubectl with programs in pods, through the gateway', (cluster) => {
  const patience = 60
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-streams-'))
  let guard: Guard
  /** Masks what detectors find as well. */
  let detecting: Guard
  let kubectl: Kubectl
  /** That go on by themselves. */
  const children = new Set<ChildProcess>()

  before(async function () {
    this.timeout('10m')
    const admin = cluster().kubectl
    await admin.run(['delete', 'namespace', namespace, '--ignore-not-found'])
    await admin.run(['create', 'namespace', namespace])
    await admin.run(['create', 'serviceaccount', 'role', `--namespace=${namespace}`])
    await admin.run([
      ...['create', 'rolebinding', 'role', '--clusterrole=admin', `--serviceaccount=${namespace}:role`],
      `--namespace=${namespace}`,
    ])
    const listening = 'while read -r line; do echo "got $line"; done'
    const pods = [
      pod('box', ['python3', '-c', serving], { readinessProbe }),
      pod('listener', ['sh', '-c', listening], { stdin: true }),
    ]
    await admin.run(['apply', '-f', '-'], { input: pods.map((each) => stringify(each)).join('---\n') })
    await admin.run([
      'wait',
      'pod',
      '--all',
      `--namespace=${namespace}`,
      '--for=condition=Ready',
      '--timeout=180s',
    ])
    const token = (await admin.run(['create', 'token', 'role', `--namespace=${namespace}`])).trim()
    const { clusters } = parse(readFileSync(cluster().kubeconfig, 'utf8')) as {
      readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[]
    }
    const { server = '', 'certificate-authority-data': ca = '' } = clusters[0]?.cluster ?? {}
    const authority = Buffer.from(ca, 'base64').toString()
    const start = async (detection = ''): Promise<Guard> =>
      await Guard.start(
        {
          'firebreak.yaml': kubernetesManifests({
            address: new URL(server).host,
            isVerified: true,
            policy: detection,
            rules,
          }),
          'ca.crt': authority,
        },
        token,
      )
    guard = await start()
    detecting = await start('  detection: {kinds: [email]}\n')
    const kubeconfig = join(directory, 'kubeconfig')
    writeFileSync(
      kubeconfig,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'guarded', cluster: { server: `http://127.0.0.1:${guard.address.port}` } }],
        contexts: [{ name: 'guarded', context: { cluster: 'guarded', user: 'agent', namespace } }],
        users: [{ name: 'agent', user: {} }],
        'current-context': 'guarded',
      }),
      { mode: 0o600 },
    )
    kubectl = new Kubectl(admin.program, kubeconfig, directory)
  })
  after(async function () {
    this.timeout('2m')
    for (const child of children) child.kill('SIGKILL')
    await guard?.[Symbol.asyncDispose]()
    await detecting?.[Symbol.asyncDispose]()
    await cluster().kubectl.run(['delete', 'namespace', namespace, '--wait=false', '--ignore-not-found'])
    rmSync(directory, { recursive: true, force: true })
  })

  const kubectlArgs = (...args: readonly string[]): string[] => [
    `--kubeconfig=${kubectl.kubeconfig}`,
    ...args,
  ]

  for (const { name, environment, method } of protocols)
    describe(`over ${name}`, function () {
      this.timeout('3m')
      const spoken = { PATH: process.env.PATH, HOME: directory, ...environment }
      const attempt = (args: readonly string[], options: RunOptions = {}): Promise<Output> =>
        attemptCommand(kubectl.program, kubectlArgs(...args), spoken, options)
      const run = async (...args: readonly string[]): Promise<string> => {
        const { status, stdout, stderr } = await attempt(args)
        assert.equal(status, 0, stderr)
        return stdout
      }
      const beganBy = (subresource: string): RegExp =>
        new RegExp(`verb="${method}" url="[^"]*/${subresource}[^"]*" status="101`)
      const starting = (
        program: string,
        args: readonly string[],
      ): { child: ChildProcessByStdio<Writable, Readable, Readable>; seen: () => string } => {
        const child = spawn(program, args, { stdio: 'pipe', env: spoken })
        children.add(child)
        child.once('exit', () => children.delete(child))
        let seen = ''
        for (const stream of [child.stdout, child.stderr])
          stream.on('data', (chunk: Buffer) => {
            seen += chunk.toString()
          })
        return { child, seen: () => seen }
      }

      it('runs a program, and gets its output and its result', async () => {
        const program = ['sh', '-c', 'echo ann@shop.example; ls /nowhere']
        const { status, stdout, stderr } = await attempt(['-v=6', 'exec', 'box', '--', ...program])
        assert.equal(status, 2)
        assert.equal(stdout, 'ann@shop.example\n')
        assert.match(stderr, /\/nowhere.*No such file/)
        assert.match(stderr, beganBy('exec'))
      })

      it('gets output masked, and none that can not be', async () => {
        const server = `--server=http://127.0.0.1:${detecting.address.port}`
        const shown = await run(server, 'exec', 'box', '--', 'echo', 'ann@shop.example is hers')
        assert.doesNotMatch(shown, /ann/)
        assert.match(shown, / is hers\n$/)
        const { status, stderr } = await attempt([server, 'exec', 'box', '--', 'cat', '/bin/true'])
        assert.equal(status, 1)
        assert.match(stderr, /no text in UTF-8/)
      })

      it('hears why another is refused', async () => {
        const { status, stderr } = await attempt(['exec', 'box', '--', 'rm', '/etc/hostname'])
        assert.equal(status, 1)
        assert.match(stderr, /denied: no rule allows k8s:exec on object streams\.pods\.box/)
      })

      it('gives a shell lines, of which each is decided', async () => {
        const { status, stdout, stderr } = await attempt(['exec', '-i', 'box', '--', 'sh'], {
          input: 'echo one\nrm /etc/hostname\necho two\n',
        })
        assert.equal(status, 0, stderr)
        assert.equal(stdout, 'one\ntwo\n')
        assert.match(stderr, /firebreak: denied: no rule allows k8s:shell/)
        assert.equal((await run('exec', 'box', '--', 'ls', '/etc/hostname')).trim(), '/etc/hostname')
      })

      it('types into a terminal lines of which nothing is known', async () => {
        const command = [kubectl.program, ...kubectlArgs('exec', '-it', 'box', '--', 'bash', '--norc')]
        const { child, seen } = starting('script', ['-qec', command.join(' '), '/dev/null'])
        const eventually = eventuallyWith(seen, patience)
        // the terminal itself echoes what is typed before kubectl has taken it over
        child.stdin.write('rm /etc/hostname\recho shown-$((1+1))\r')
        await eventually(seen, /denied: no rule allows k8s:shell[\s\S]*denied: no rule allows k8s:shell/)
        assert.doesNotMatch(seen(), /shown-2/)
        // a key that ends the input is lost on a shell that doesn't read its terminal yet
        await eventually(seen, /bash-[\d.]+[#$] /)
        child.stdin.write('\u0004')
        await once(child, 'close')
      })

      it('copies files out and in, and none elsewhere', async () => {
        const bytes = Buffer.from(randomBytes(100_000).toString('base64'))
        writeFileSync(join(directory, 'sent'), bytes)
        await run('cp', join(directory, 'sent'), 'box:/tmp/kept')
        await run('cp', 'box:/tmp/kept', join(directory, 'back'))
        assert.ok(readFileSync(join(directory, 'back')).equals(bytes))
        const { status, stderr } = await attempt(['cp', join(directory, 'sent'), 'box:/etc/kept'])
        assert.equal(status, 1)
        assert.match(stderr, /denied/)
      })

      it('takes part in a program that runs', async () => {
        const { child, seen } = starting(kubectl.program, kubectlArgs('attach', '-i', 'listener'))
        const eventually = eventuallyWith(seen, patience)
        await eventually(() => String(child.stdin.write('hello\n')) + seen(), /got hello/)
        child.kill()
        await once(child, 'close')
      })

      it('connects to the ports that are allowed, and to no others', async () => {
        const forward = (...ports: readonly string[]): ReturnType<typeof starting> =>
          starting(kubectl.program, kubectlArgs('-v=6', 'port-forward', 'box', ...ports))
        const localPort = async (seen: () => string, port: number): Promise<string> => {
          const forwarding = new RegExp(`Forwarding from 127.0.0.1:(\\d+) -> ${port}`)
          await eventuallyWith(seen, patience)(seen, forwarding)
          return `http://127.0.0.1:${forwarding.exec(seen())?.[1]}`
        }
        const before = (await guard.audited(0)).length
        const { child, seen } = forward(':8080', ':8081')
        const allowed = await localPort(seen, 8080)
        for (let each = 0; each < 3; each++) {
          const response = await fetch(allowed)
          assert.equal(await response.text(), 'from 8080')
        }
        await assert.rejects(fetch(await localPort(seen, 8081)))
        await eventuallyWith(seen, patience)(seen, /lost connection/)
        assert.match(seen(), beganBy('portforward'))
        child.kill()
        const audited = async (): Promise<string> =>
          (await guard.audited(0))
            .slice(before)
            .filter(({ actions }) => (actions as string[]).includes('k8s:portForward'))
            .map(({ decision, text }) => `${decision} ${text}`)
            .join('\n')
        for (const line of [/^deny port 8081 of /m, /^allow port 8080 of /m])
          await eventuallyWith(seen, patience)(audited, line)
      })

      it('follows what a container writes', async () => {
        const { child, seen } = starting(kubectl.program, kubectlArgs('logs', '-f', 'listener'))
        await eventuallyWith(seen, patience)(seen, /got hello/)
        child.kill()
        await once(child, 'close')
      })
    })
})

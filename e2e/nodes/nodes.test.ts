/** The test cluster itself: that it is a real one, that it enforces NetworkPolicies, and that it leaves nothing behind. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { parse, stringify } from 'yaml'
import { eventuallyWith } from '../../test/eventually.ts'
import { type Cluster, canHaveNodes, startCluster } from '../cluster/cluster.ts'
import { buildDebianImage } from '../cluster/images/build.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import { network } from '../cluster/node/network.ts'
import { endSharedCluster } from '../suite.ts'
import { type Traces, traces } from './traces.ts'

interface Reachability {
  readonly targets: readonly string[]
  readonly cases: readonly {
    readonly name: string
    readonly policies: readonly object[]
    readonly near: readonly string[]
    readonly far: readonly string[]
  }[]
}

const script = readFileSync(new URL('probe.py', import.meta.url), 'utf8')
const reachability = parse(
  readFileSync(new URL('reachability.yaml', import.meta.url), 'utf8'),
) as Reachability

function pod(namespace: string, name: string, container: object = {}, spec: object = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 0,
      ...spec,
      containers: [{ name: 'main', image: toolsImage, ...container }],
    },
  })
}

// nodes need rights that not everyone who runs the tests has
if (canHaveNodes()) {
  describe('a cluster with nodes', function () {
    this.timeout('5m')
    const eventually = eventuallyWith(() => '', 60)
    let cluster: Cluster
    let tracesBefore: Traces
    const run = (...args: string[]): Promise<string> => cluster.kubectl.run(args)
    const ready = (namespace: string, ...names: string[]): Promise<string> =>
      run(
        'wait',
        ...names.map((name) => `pod/${name}`),
        `--namespace=${namespace}`,
        '--for=condition=Ready',
        '--timeout=180s',
      )
    const execute = (namespace: string, name: string, ...command: string[]): Promise<string> =>
      run('exec', `--namespace=${namespace}`, name, '--container=main', '--', ...command)

    before(async function () {
      // the first run on a machine compiles Kubernetes and makes the images
      this.timeout('60m')
      await endSharedCluster()
      tracesBefore = await traces()
      cluster = await startCluster({ nodes: 2 })
      await run('create', 'namespace', 'app')
      await run('create', 'namespace', 'tools')
      await run('label', 'namespace', 'tools', 'team=tools')
    })

    after(async () => {
      await cluster?.[Symbol.asyncDispose]()
    })

    it('runs a pod with a native sidecar that is ready before the pod’s own containers start', async () => {
      const sidecar = {
        name: 'sidecar',
        image: toolsImage,
        restartPolicy: 'Always',
        command: ['python3', '-c', script, 'serve'],
        startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
      }
      const command = ['sh', '-c', 'nc -zv 127.0.0.1 8080 && sleep infinity']
      await cluster.kubectl.apply(pod('default', 'with-sidecar', { command }, { initContainers: [sidecar] }))
      await ready('default', 'with-sidecar')
      const log = (): Promise<string> => run('logs', 'with-sidecar', '--container=main')
      await eventually(log, /127\.0\.0\.1 8080 port .* succeeded/)
      assert.match(await execute('default', 'with-sidecar', 'id'), /uid=0\(root\)/)
    })

    it('resolves names of services and of nothing else', async () => {
      const dig = (name: string): Promise<string> =>
        execute('default', 'with-sidecar', 'dig', '+short', '+search', name)
      assert.equal(await dig('kubernetes.default'), `${network.apiServerService}\n`)
      assert.equal(await dig('nobody.default'), '')
    })

    it('gives pods addresses of both families, and a service account whose token the API server accepts', async () => {
      const addresses = (
        await run('get', 'pod', 'with-sidecar', '-o', 'jsonpath={.status.podIPs[*].ip}')
      ).split(' ')
      assert.deepEqual(
        addresses.map((address) => address.includes(':')),
        [false, true],
      )
      const request =
        'curl --silent --show-error --cacert $D/ca.crt --header "Authorization: Bearer $(cat $D/token)" https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews -X POST -H content-type:application/json -d "{}"'
      const whoAmI = JSON.parse(
        await execute(
          'default',
          'with-sidecar',
          'env',
          'D=/var/run/secrets/kubernetes.io/serviceaccount',
          'sh',
          '-c',
          request,
        ),
      ) as { status: { userInfo: { username: string } } }
      assert.equal(whoAmI.status.userInfo.username, 'system:serviceaccount:default:default')
    })

    it('refuses pods by their namespace’s security level', async () => {
      await run('create', 'namespace', 'restricted')
      await run('label', 'namespace', 'restricted', 'pod-security.kubernetes.io/enforce=restricted')
      const { stderr } = await cluster.kubectl.attempt(['apply', '-f', '-'], {
        input: pod('restricted', 'plain'),
      })
      assert.match(stderr, /pods "plain" is forbidden: violates PodSecurity "restricted:latest"/)
    })

    it('a node may read what its pods need, and nothing else', async () => {
      const node = await cluster.user({ name: 'system:node:node-1', groups: ['system:nodes'] })
      await run('create', 'secret', 'generic', 'not-mounted', '--namespace=app', '--from-literal=a=b')
      const { stderr } = await node.kubectl.attempt(['get', 'secret', 'not-mounted', '--namespace=app'])
      assert.match(stderr, /no relationship found between node 'node-1' and this object/)
    })

    it('runs a job with a sidecar to its completion', async () => {
      const sidecar = { name: 'sidecar', image: toolsImage, restartPolicy: 'Always' }
      const template = parse(
        pod('default', 'job', { command: ['true'] }, { restartPolicy: 'Never', initContainers: [sidecar] }),
      ) as { spec: object }
      const metadata = { name: 'job', namespace: 'default' }
      await cluster.kubectl.apply(
        stringify({
          apiVersion: 'batch/v1',
          kind: 'Job',
          metadata,
          spec: { template: { spec: template.spec } },
        }),
      )
      await run('wait', 'job/job', '--for=condition=Complete', '--timeout=180s')
    })

    it('runs images that a test has built', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'firebreak-image-'))
      try {
        const contents = join(directory, 'contents')
        mkdirSync(contents)
        writeFileSync(join(contents, 'greeting'), 'hello\n')
        const archive = join(directory, 'image.tar')
        const name = 'firebreak.test/greeting:1'
        await buildDebianImage(archive, { name, contents, command: ['cat', '/greeting'], user: '1000:1000' })
        await cluster.loadImage(archive)
        await cluster.kubectl.apply(pod('default', 'greeting', { image: name }, { restartPolicy: 'Never' }))
        await run('wait', 'pod/greeting', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=180s')
        assert.equal(await run('logs', 'greeting'), 'hello\n')
      } finally {
        rmSync(directory, { recursive: true })
      }
    })

    describe('NetworkPolicies', () => {
      let outside: Server
      let targets: Readonly<Record<string, string>>

      before(async () => {
        outside = createServer((connection) => connection.on('error', () => {}).end('here'))
        await new Promise<void>((resolve) => outside.listen(0, network.machine.ipv4, resolve))
        const container = {
          command: ['python3', '-c', script, 'serve'],
          ports: [{ name: 'web', containerPort: 8080 }],
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
        }
        const service = { selector: { app: 'server' }, ports: [{ port: 80, targetPort: 'web' }] }
        await cluster.kubectl.apply(
          [
            pod('app', 'server', container, { nodeName: 'node-1' }),
            pod('app', 'near'),
            pod('tools', 'far', {}, { nodeName: 'node-2' }),
            stringify({
              apiVersion: 'v1',
              kind: 'Service',
              metadata: { namespace: 'app', name: 'server' },
              spec: service,
            }),
          ].join('---\n'),
        )
        await ready('app', 'server', 'near')
        await ready('tools', 'far')
        const read = (kind: string, path: string): Promise<string> =>
          run('get', kind, 'server', '--namespace=app', '-o', `jsonpath={${path}}`)
        const [ipv4 = '', ipv6 = ''] = (await read('pod', '.status.podIPs[*].ip')).split(' ')
        const address = outside.address()
        targets = {
          'tcp/8080': `tcp,${ipv4},8080`,
          'tcp/8081': `tcp,${ipv4},8081`,
          'udp/9090': `udp,${ipv4},9090`,
          'ipv6/8080': `tcp,${ipv6},8080`,
          'ipv6/8081': `tcp,${ipv6},8081`,
          'service/80': `tcp,${await read('service', '.spec.clusterIP')},80`,
          outside: `tcp,${network.machine.ipv4},${typeof address === 'object' ? address?.port : ''}`,
        }
        assert.deepEqual(Object.keys(targets), reachability.targets)
      })

      after(() => outside?.close())

      afterEach(() => run('delete', 'networkpolicy', '--all', '--namespace=app'))

      const reached = async (namespace: string, client: string): Promise<string[]> => {
        const all = Object.entries(targets).map(([target, where]) => `${target}=${where}`)
        return (await execute(namespace, client, 'python3', '-c', script, ...all))
          .trim()
          .split(' ')
          .filter(Boolean)
      }
      /** Policies are in force a moment after they are there, and who is busy answers late. */
      const reachIs = async (wanted: { near: readonly string[]; far: readonly string[] }): Promise<void> => {
        const until = performance.now() + 60_000
        for (;;) {
          const [near, far] = await Promise.all([reached('app', 'near'), reached('tools', 'far')])
          if (isDeepStrictEqual({ near, far }, wanted)) return
          if (performance.now() > until) assert.deepEqual({ near, far }, wanted)
        }
      }

      for (const { name, policies, near, far } of reachability.cases) {
        it(name, async () => {
          const manifests = policies.map((spec, index) =>
            stringify({
              apiVersion: 'networking.k8s.io/v1',
              kind: 'NetworkPolicy',
              metadata: { namespace: 'app', name: `policy-${index}` },
              spec,
            }),
          )
          if (manifests.length > 0) await cluster.kubectl.apply(manifests.join('---\n'))
          await reachIs({ near, far })
        })
      }

      it('hold from a pod’s first packet on', async () => {
        const closed = { podSelector: { matchLabels: { app: 'early' } }, policyTypes: ['Egress'] }
        const metadata = { namespace: 'app', name: 'closed' }
        await cluster.kubectl.apply(
          stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec: closed }),
        )
        const where = targets['tcp/8080']
        const command = ['python3', '-c', script, `server=${where}`]
        await cluster.kubectl.apply(pod('app', 'early', { command }, { restartPolicy: 'Never' }))
        await run(
          'wait',
          'pod/early',
          '--namespace=app',
          '--for=jsonpath={.status.phase}=Succeeded',
          '--timeout=180s',
        )
        assert.equal(await run('logs', 'early', '--namespace=app'), '\n')
      })

      it('leave established connections alone', async () => {
        const hold = 'exec 3<>/dev/tcp/$0/$1; cat <&3'
        const address = network.machine.ipv4
        const connected = Promise.withResolvers<Socket>()
        const patient = createServer((connection) => connected.resolve(connection.on('error', () => {})))
        await new Promise<void>((resolve) => patient.listen(0, address, resolve))
        try {
          const listening = patient.address()
          const running = execute(
            'app',
            'near',
            'bash',
            '-c',
            hold,
            address,
            `${typeof listening === 'object' && listening?.port}`,
          )
          const connection = await Promise.race([connected.promise, running])
          assert.ok(typeof connection === 'object', 'it is connected')
          const closed = { podSelector: {}, policyTypes: ['Egress', 'Ingress'] }
          const metadata = { namespace: 'app', name: 'closed' }
          await cluster.kubectl.apply(
            stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec: closed }),
          )
          await reachIs({ near: [], far: ['outside'] })
          connection.end('late')
          assert.equal(await running, 'late')
        } finally {
          void connected.promise.then((connection) => connection.destroy())
          patient.close()
        }
      })
    })

    describe('when it has ended', () => {
      let tracesWhileUp: Traces

      before(async () => {
        tracesWhileUp = await traces()
        await cluster[Symbol.asyncDispose]()
      })

      it('nothing of it is left on the machine', async () => {
        assert.notDeepEqual(tracesWhileUp, tracesBefore)
        assert.deepEqual(await traces(), tracesBefore)
      })
    })
  })
}

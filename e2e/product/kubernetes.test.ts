/** An agent in a pod works with the API of its own cluster, by real kubectl and Helm that know nothing of Firebreak. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { eventuallyWith } from '../../test/eventually.ts'
import type { Output } from '../cluster/command.ts'
import type { User } from '../cluster/control-plane/start.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import type { AgentPod } from './agent-pod.ts'
import { Deployer } from './deployer.ts'
import { describeWithProduct } from './suite.ts'

interface Attempt {
  readonly name: string
  readonly command: readonly string[]
  readonly says: string
  readonly audited?: string
}

const { cluster: attempts } = parse(
  readFileSync(new URL('../../attacks/pods.yaml', import.meta.url), 'utf8'),
) as { cluster: Attempt[] }
const ownToken = '/var/run/secrets/kubernetes.io/serviceaccount/token'

const web = (more = ''): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: web
          image: ${toolsImage}
          command: [sh, -c, 'i=0; while sleep 0.2; do i=$((i+1)); echo line $i; done']
${more}`

const chart = {
  'Chart.yaml': 'apiVersion: v2\nname: cart\nversion: 1.0.0\n',
  'templates/settings.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cart}\ndata: {colour: {{ .Values.colour }}}\n',
  'values.yaml': 'colour: red\n',
}

describeWithProduct('an agent of a Kubernetes API in a pod', (product) => {
  let deployer: Deployer
  let agent: AgentPod
  let dana: User
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const eventually = eventuallyWith(() => '', 60)
  const inShop = (...words: string[]): Promise<Output> => agent.run(['kubectl', '-n', 'shop', ...words])
  const apply = (text: string, ...more: string[]): Promise<Output> =>
    agent.run(['kubectl', 'apply', '-f', '-', ...more], { input: text })
  const succeeds = async (running: Promise<Output>): Promise<string> => {
    const { status, stdout, stderr } = await running
    assert.equal(status, 0, stderr + stdout)
    return stdout
  }
  const fails = async (running: Promise<Output>): Promise<string> => {
    const { status, stdout, stderr } = await running
    assert.notEqual(status, 0, stdout)
    return stderr
  }

  before(async function () {
    this.timeout('15m')
    deployer = await Deployer.deploy(product())
    await kubectl('create', 'secret', 'generic', 'shop-db', '-n', 'shop', '--from-literal=password=canary')
    dana = await product().cluster.user({ name: 'dana', groups: ['platform'] })
    const approvers = ['--clusterrole=firebreak-approver', '--group=platform']
    await kubectl('create', 'rolebinding', 'approvers', ...approvers, '-n', deployer.namespace)
    agent = await deployer.startAgent('deployer')
  })
  after(async function () {
    this.timeout('10m')
    await deployer?.[Symbol.asyncDispose]()
  })

  it('finds it by the kubeconfig that it is given', async () => {
    assert.equal(await succeeds(agent.run(['kubectl', 'config', 'current-context'])), 'cluster\n')
    assert.match(await succeeds(agent.run(['kubectl', 'version'])), /Server Version: v1\./)
  }).timeout('3m')

  it('finds it where clients in a cluster look for it, as well', async () => {
    const unset = ['env', '-u', 'KUBECONFIG']
    assert.match(await succeeds(agent.run([...unset, 'kubectl', 'version'])), /Server Version: v1\./)
    const listed = agent.run([...unset, 'kubectl', 'get', 'pods', '-n', 'kube-system'])
    assert.match(await fails(listed), /no rule allows k8s:list on object kube-system\.pods/)
    const byName = 'curl -sS https://kubernetes.default.svc/version'
    assert.match(await succeeds(agent.run(['sh', '-c', byName])), /"gitVersion": "v1\./)
  }).timeout('3m')

  it('applies, waits, and gets', async () => {
    assert.equal(await succeeds(apply(web())), 'deployment.apps/web created\n')
    assert.equal(await succeeds(apply(web())), 'deployment.apps/web unchanged\n')
    const rollout = inShop('rollout', 'status', 'deployment/web', '--timeout=120s')
    assert.match(await succeeds(rollout), /successfully rolled out/)
    assert.match(await succeeds(inShop('get', 'deployments')), /^web +1\/1 /m)
  }).timeout('5m')

  it('follows what a container says, line by line as it comes', async () => {
    const followed = agent.run(['sh', '-c', 'kubectl -n shop logs -f deployment/web | head -n 20'])
    assert.match(await succeeds(followed), /^(line \d+\n){20}$/)
  }).timeout('3m')

  it('watches, and sees what changes', async () => {
    const script = `kubectl -n shop get deployments -w -o 'jsonpath={.metadata.annotations.seen}{"\\n"}' > /tmp/watched & trap "kill $!" EXIT
      until [ -s /tmp/watched ]; do sleep 0.1; done
      kubectl -n shop annotate deployment web seen=it > /dev/null
      until grep -m1 it /tmp/watched; do sleep 0.1; done`
    assert.equal(await succeeds(agent.run(['timeout', '100', 'sh', '-c', script])), 'it\n')
  }).timeout('3m')

  it('is followed by an informer of client-go, as every program in a pod is configured', async () => {
    const script = `informer shop > /tmp/informed & trap "kill $!" EXIT
      until grep -q ^synced /tmp/informed; do sleep 0.1; done
      kubectl -n shop label deployment web seen=label > /dev/null
      until grep -q '^updated web label' /tmp/informed; do sleep 0.1; done
      cat /tmp/informed`
    const said = await succeeds(agent.run(['timeout', '100', 'sh', '-c', script]))
    assert.match(said, /^added web $/m)
  }).timeout('3m')

  it('sees Secrets masked', async () => {
    const secret = await succeeds(inShop('get', 'secret', 'shop-db', '-o', 'jsonpath={.data.password}'))
    assert.equal(Buffer.from(secret, 'base64').toString(), '********')
  }).timeout('3m')

  it('hears why something is denied, as from the API server', async () => {
    const privileged = web('          securityContext: {privileged: true}\n')
    assert.match(
      await fails(apply(privileged)),
      /^Error from server \(Forbidden\)[\s\S]*no rule allows k8s:privileged/,
    )
    assert.match(
      await fails(inShop('scale', 'deployment/web', '--replicas=0')),
      /rule never-to-nothing.*Ask the platform team to stop a shop/,
    )
    assert.match(
      await fails(agent.run(['kubectl', 'get', 'pods', '-n', 'kube-system'])),
      /no rule allows k8s:list on object kube-system\.pods/,
    )
    assert.equal(
      await kubectl('get', 'deployment', 'web', '-n', 'shop', '-o', 'jsonpath={.spec.replicas}'),
      '1',
    )
  }).timeout('3m')

  it('installs, upgrades and rolls back by Helm', async () => {
    for (const [path, text] of Object.entries(chart)) {
      const script = `mkdir -p "$(dirname "$1")" && cat > "$1"`
      await succeeds(agent.run(['sh', '-c', script, 'sh', `/tmp/cart/${path}`], { input: text }))
    }
    const helm = (...words: string[]): Promise<string> =>
      succeeds(agent.run(['env', 'HOME=/tmp', 'HELM_DRIVER=configmap', 'helm', '-n', 'shop', ...words]))
    const colour = ['get', 'configmap', 'cart', '-n', 'shop', '-o', 'jsonpath={.data.colour}']
    assert.match(await helm('install', 'cart', '/tmp/cart'), /STATUS: deployed/)
    assert.equal(await kubectl(...colour), 'red')
    await helm('upgrade', 'cart', '/tmp/cart', '--set', 'colour=blue')
    assert.equal(await kubectl(...colour), 'blue')
    await helm('rollback', 'cart', '1')
    assert.equal(await kubectl(...colour), 'red')
    assert.match(await helm('history', 'cart'), /Rollback to 1/)
  }).timeout('5m')

  it('waits while a person is asked, and goes on once when they agree', async () => {
    const requests = ['get', 'approvals', '-n', deployer.namespace, '-o']
    const deleting = inShop('delete', 'deployment', 'web', '--wait=false')
    const name = await eventually(
      async () => await kubectl(...requests, 'jsonpath={.items[?(@.status.state=="Pending")].metadata.name}'),
      /^\S+$/,
    )
    assert.match(await kubectl('get', 'deployment', 'web', '-n', 'shop', '-o', 'name'), /web/)
    assert.match(
      await kubectl(...requests, 'jsonpath={.items[0].spec.command.text}'),
      /^DELETE \/apis\/apps\/v1\/namespaces\/shop\/deployments\/web/,
    )
    const decision = JSON.stringify({ spec: { decision: 'Approved', reason: 'it is old' } })
    await dana.kubectl.run([
      'patch',
      'approval',
      name,
      '-n',
      deployer.namespace,
      '--type=merge',
      '-p',
      decision,
    ])
    assert.match(await succeeds(deleting), /deployment\.apps "web" deleted/)
    await eventually(() => kubectl(...requests, 'jsonpath={.items[0].status.state}'), /^Used$/)
    await succeeds(apply(web()))
  }).timeout('5m')

  describe('does not get', () => {
    let names: readonly (readonly [string, string])[]
    const filled = (text: string): string =>
      names.reduce((all, [word, value]) => all.replaceAll(word, value), text)

    before(async () => {
      const endpoint = [
        'get',
        'endpointslices',
        '-n',
        'default',
        '-l',
        'kubernetes.io/service-name=kubernetes',
      ]
      const [address, port] = (
        await kubectl(
          ...endpoint,
          '-o',
          'jsonpath={.items[0].endpoints[0].addresses[0]} {.items[0].ports[0].port}',
        )
      ).split(' ')
      const secret = ['get', 'secret', 'shop-deployer', '-n', 'agents', '-o', 'jsonpath={.data.token}']
      const signature =
        Buffer.from(await kubectl(...secret), 'base64')
          .toString()
          .split('.')[2] ?? ''
      const node = ['get', 'nodes', '-o', 'jsonpath={.items[0].status.addresses[0].address}']
      names = [
        ['ENDPOINT', `${address}:${port}`],
        // finds it, and not itself where it stands in a command
        ['ROLE', `[${signature[0]}]${signature.slice(1, 30)}`],
        ['TOKEN', ownToken],
        ['NODE', await kubectl(...node)],
      ]
    })

    for (const { name, command, says, audited } of attempts)
      it(name, async () => {
        const { stdout, stderr } = await agent.run(command.map(filled))
        assert.match(stdout + stderr, new RegExp(says, 'm'))
        if (audited === undefined) return
        await agent.audited(
          ({ event, destination }) => event === 'egress.refused' && destination === filled(audited),
        )
      }).timeout('3m')
  })

  it('leaves a line of each request in the trail of its pod, without what is secret', async () => {
    const [denied] = await agent.audited(
      ({ decision, actions }) => decision === 'deny' && /privileged/.test(String(actions)),
    )
    assert.equal(denied?.identity, 'agents/deployer')
    assert.ok(!JSON.stringify(await agent.audit()).includes('canary'))
  }).timeout('3m')
})

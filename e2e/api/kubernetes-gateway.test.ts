/** Real kubectl through the gateway to a real API server, with a policy in between. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { decideRequest, listRequests } from '@firebreak/sidecar/approvals/desk.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { kubernetesManifests } from '../../test/kubernetes-shop.ts'
import type { Guard } from '../../test/shop.ts'
import type { ControlPlane, Kubectl } from '../index.ts'
import { GuardedApi } from './guarded-api.ts'

const classification = `  classification:
    - {tags: [confidential], fields: ["*.secrets.*.data", "*.configmaps.*.data.password", "*.*.*.spec.template.spec.containers.env.value"]}
`
const rules = `    - {name: work, match: {actions: ["k8s:*"], objects: [prod, "-.namespaces"]}, effect: allow}
    - {name: no-powers, match: {actions: ["k8s:privileged", "k8s:hostAccess", "k8s:exec", "k8s:grant"]}, effect: deny, message: Ask the platform team.}
    - {name: ask, match: {actions: ["k8s:delete"], objects: [prod.deployments]}, effect: requireApproval, approval: {expiresAfter: 5m}}
    - {name: hide, match: {tags: [confidential]}, effect: mask, mask: {strategy: redact}}
`

const deployment = (replicas: number, more = ''): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
${more}`

const withEnvironment = deployment(0, '          env: [{name: KEY, value: canary-in-env}]\n').replace(
  'name: web,',
  'name: keyed,',
)

describe('kubectl through the gateway', function () {
  this.timeout('3m')
  let api: GuardedApi
  let plane: ControlPlane
  let guard: Guard
  let kubectl: Kubectl

  before(async function () {
    // the first run on a machine compiles the API server
    this.timeout('45m')
    api = await GuardedApi.start()
    plane = api.plane
    await plane.kubectl.run([
      'create',
      'secret',
      'generic',
      'db',
      '--namespace=prod',
      '--from-literal=password=canary-in-secret',
    ])
    await plane.kubectl.apply(withEnvironment)
    const agent = await api.agent((address) =>
      kubernetesManifests({ address, isVerified: true, resource: classification, rules }),
    )
    guard = agent.guard
    kubectl = agent.kubectl
  })
  after(() => api?.[Symbol.asyncDispose]())

  const refused = async (args: readonly string[], input?: string): Promise<string> => {
    const { status, stderr, stdout } = await kubectl.attempt(args, input === undefined ? {} : { input })
    assert.notEqual(status, 0, stdout)
    return stderr
  }

  it('asks what there is', async () => {
    assert.match(await kubectl.run(['api-resources']), /^deployments +deploy +apps\/v1 +true/m)
    assert.match(await kubectl.run(['explain', 'deployment.spec.replicas']), /FIELD: replicas <integer>/)
    assert.match(await kubectl.run(['version']), /Server Version: v1\./)
  })

  it('applies, changes, and gets', async () => {
    assert.equal(
      await kubectl.run(['apply', '-f', '-'], { input: deployment(1) }),
      'deployment.apps/web created\n',
    )
    assert.equal(
      await kubectl.run(['apply', '-f', '-'], { input: deployment(1) }),
      'deployment.apps/web unchanged\n',
    )
    assert.equal(
      await kubectl.run(['apply', '-f', '-'], { input: deployment(2) }),
      'deployment.apps/web configured\n',
    )
    assert.equal(
      await kubectl.run(['scale', 'deployment/web', '--replicas=3', '--namespace=prod']),
      'deployment.apps/web scaled\n',
    )
    assert.match(
      await kubectl.run(['get', 'deployments', '--namespace=prod']),
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\n.*^web +0\/3 /ms,
    )
    assert.match(
      await kubectl.run(['describe', 'deployment', 'web', '--namespace=prod']),
      /^Replicas: +3 desired/m,
    )
  })

  it('applies on the server’s side', async () => {
    const args = ['apply', '--server-side', '--force-conflicts', '-f', '-']
    assert.equal(
      await kubectl.run(args, { input: deployment(4) }),
      'deployment.apps/web serverside-applied\n',
    )
  })

  it('patches in every way', async () => {
    const patch = (type: string, text: string): Promise<string> =>
      kubectl.run(['patch', 'deployment', 'web', '--namespace=prod', `--type=${type}`, `--patch=${text}`])
    assert.match(await patch('json', '[{"op":"replace","path":"/spec/replicas","value":5}]'), /patched/)
    assert.match(await patch('merge', '{"spec":{"replicas":6}}'), /patched/)
    assert.match(
      await patch(
        'strategic',
        '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}',
      ),
      /patched/,
    )
    assert.equal(
      await kubectl.run([
        'get',
        'deployment',
        'web',
        '--namespace=prod',
        '-o',
        'jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}',
      ]),
      '6 web:2',
    )
  })

  it('sees Secrets and environments masked', async () => {
    assert.match(
      await kubectl.run(['get', 'secrets', '--namespace=prod']),
      /^NAME +TYPE +DATA +AGE\ndb +Opaque +1 /,
    )
    const secret = await kubectl.run([
      'get',
      'secret',
      'db',
      '--namespace=prod',
      '-o',
      'jsonpath={.data.password}',
    ])
    assert.equal(Buffer.from(secret, 'base64').toString(), '********')
    for (const form of ['yaml', 'json']) {
      const shown = await kubectl.run(['get', 'secrets,deployments', '--namespace=prod', '-o', form])
      assert.ok(
        !shown.includes('canary') && !shown.includes(Buffer.from('canary-in-secret').toString('base64')),
        shown,
      )
    }
    assert.match(await kubectl.run(['describe', 'secret', 'db', '--namespace=prod']), /^password: +8 bytes/m)
  })

  it('hears why something is refused, as from the API server', async () => {
    assert.match(
      await refused(['get', 'pods', '--namespace=other']),
      /^Error from server \(Forbidden\): denied: no rule allows k8s:list on object other\.pods\.\*\. Reference \S+\.\n$/,
    )
    const privileged = deployment(1, '          securityContext: {privileged: true}\n')
    assert.match(
      await refused(['apply', '--server-side', '--force-conflicts', '-f', '-'], privileged),
      /denied by policy default\/guard, rule no-powers: k8s:privileged on object prod\.deployments\.web is denied\. Ask the platform team\./,
    )
    assert.match(
      await refused(['create', 'rolebinding', 'x', '--clusterrole=admin', '--user=x', '--namespace=prod']),
      /rule no-powers: k8s:grant on object prod\.rolebindings\.x is denied/,
    )
    assert.match(
      await refused(['get', 'pods', '--namespace=prod', '--as=system:admin']),
      /impersonation does not pass/,
    )
    await plane.kubectl.run(['create', 'serviceaccount', 'default', '--namespace=prod'])
    await plane.kubectl.run(['run', 'web', '--image=web:1', '--namespace=prod'])
    assert.match(
      await refused(['exec', 'web', '--namespace=prod', '--', 'id']),
      /k8s:exec on object prod\.pods\.web is denied/,
    )
    const count = await plane.kubectl.run(['get', 'rolebindings', '--namespace=prod', '-o', 'name'])
    assert.equal(count, '')
  })

  it('watches, and sees what changes masked', async () => {
    const watching = spawn(kubectl.program, [
      `--kubeconfig=${kubectl.kubeconfig}`,
      'get',
      'secret',
      '--namespace=prod',
      '--watch',
      '-o',
      'jsonpath={.metadata.name}={.data.password}{"\\n"}',
    ])
    let seen = ''
    watching.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
    })
    const said = text(watching.stderr)
    const eventually = eventuallyWith(() => seen)
    const masked = Buffer.from('********').toString('base64')
    try {
      await eventually(() => seen, /^db=/)
      await plane.kubectl.run([
        'create',
        'secret',
        'generic',
        'later',
        '--namespace=prod',
        '--from-literal=password=canary-later',
      ])
      await eventually(() => seen, /^later=/m)
    } finally {
      watching.kill()
      await once(watching, 'close')
    }
    assert.deepEqual(seen.trim().split('\n'), [`db=${masked}`, `later=${masked}`], await said)
  })

  it('waits while people are asked', async () => {
    const deleting = kubectl.attempt(['delete', 'deployment', 'web', '--namespace=prod', '--wait=false'])
    const approvals = join(guard.directory, 'approvals')
    const open = async (): Promise<string> => {
      for (;;) {
        const [request] = await listRequests(approvals).catch(() => [])
        if (request) return request.metadata.name
        await delay(50)
      }
    }
    const decided = await decideRequest(approvals, await open(), { decision: 'Approved', reason: 'a test' })
    assert.equal(decided.kind, 'decided')
    const { stdout, stderr } = await deleting
    assert.equal(stdout, 'deployment.apps "web" deleted from prod namespace\n', stderr)
  })

  it('makes objects in protobuf, as kubectl create does', async () => {
    const made = await kubectl.run(['create', 'deployment', 'made', '--image=web:1', '--namespace=prod'])
    assert.equal(made, 'deployment.apps/made created\n')
  })

  it('leaves a line of each request, with what it did', async () => {
    const lines = (await guard.audited(31)) as readonly {
      readonly text: string
      readonly decision: { readonly effect: string }
    }[]
    assert.ok(lines.length > 30)
    assert.ok(!JSON.stringify(lines).includes('canary'))
  })
})

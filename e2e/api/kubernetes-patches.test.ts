/** Patches of what has powers already, by real kubectl through the gateway to a real API server. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalRequest } from '@firebreak/crds'
import { decideRequest, listRequests } from '@firebreak/sidecar/approvals/desk.ts'
import { kubernetesManifests } from '../../test/kubernetes-shop.ts'
import { type Agent, GuardedApi } from './guarded-api.ts'

const manifests = (address: string, rules: string, fields: string): string =>
  kubernetesManifests({
    address,
    isVerified: true,
    resource: `  classification: [{tags: [confidential], fields: [${fields}]}]\n`,
    rules,
  })

const work = `    - name: work
      match: {actions: ["k8s:get", "k8s:list", "k8s:watch", "k8s:create", "k8s:patch", "k8s:scale", "k8s:dryRun"], objects: [prod, "-.namespaces"]}
      effect: allow
`
const held = `    - {name: held, match: {objects: [prod.deployments.held]}, effect: allow}
    - {name: mounts, match: {actions: ["k8s:mount"], objects: [prod.secrets.held]}, effect: allow}
    - {name: ask, match: {actions: ["k8s:patch"], objects: [prod.deployments.held]}, effect: requireApproval, approval: {expiresAfter: 5m}}
`
const everything = `    - {name: everything, match: {actions: ["k8s:*"], objects: [prod, "-.namespaces"]}, effect: allow}
    - {name: no-programs, match: {actions: ["k8s:exec"]}, effect: deny}
`
const debug = `    - {name: debug, match: {actions: ["k8s:debug"], objects: [prod.pods]}, effect: allow}
`
const hide = `    - {name: hide, match: {tags: [confidential]}, effect: mask, mask: {strategy: redact}}
`

const kinds: Readonly<Record<string, readonly [apiVersion: string, kind: string, at: readonly string[]]>> = {
  daemonset: ['apps/v1', 'DaemonSet', ['spec', 'template', 'spec']],
  deployment: ['apps/v1', 'Deployment', ['spec', 'template', 'spec']],
  statefulset: ['apps/v1', 'StatefulSet', ['spec', 'template', 'spec']],
  cronjob: ['batch/v1', 'CronJob', ['spec', 'jobTemplate', 'spec', 'template', 'spec']],
  pod: ['v1', 'Pod', ['spec']],
}

interface Way {
  readonly args: readonly string[]
  readonly input?: string
}

/** All ways in which an image is set, by what they are called. */
function waysToSet(image: string, object: string): Readonly<Record<string, Way>> {
  const [kind = '', name = ''] = object.split('/')
  const [apiVersion, kindName, at] = kinds[kind] ?? ['', '', []]
  const spec = { containers: [{ name: 'c', image }] }
  const merged = at.reduceRight<object>((inner, field) => ({ [field]: inner }), spec)
  const json = [{ op: 'replace', path: `/${at.join('/')}/containers/0/image`, value: image }]
  const patch = (type: string, value: unknown): Way => ({
    args: ['patch', kind, name, '--namespace=prod', `--type=${type}`, `--patch=${JSON.stringify(value)}`],
  })
  return {
    'kubectl set image': { args: ['set', 'image', object, `c=${image}`, '--namespace=prod'] },
    'a strategic patch': patch('strategic', merged),
    'a JSON patch': patch('json', json),
    // a merge patch sets the whole list: of a pod that would take other things from it
    ...(kind !== 'pod' && {
      'a merge patch': patch('merge', { metadata: { labels: { a: 'b' } }, ...merged }),
    }),
    'server-side apply': {
      args: ['apply', '--server-side', '--force-conflicts', '-f', '-'],
      input: JSON.stringify({ apiVersion, kind: kindName, metadata: { name, namespace: 'prod' }, ...merged }),
    },
  }
}

describe('patches of what has powers already', function () {
  this.timeout('3m')
  let api: GuardedApi
  let agent: Agent
  let platform: Agent
  let masked: Agent

  before(async function () {
    // the first run on a machine compiles the API server
    this.timeout('45m')
    api = await GuardedApi.start()
    const { kubectl } = api.plane
    await kubectl.run(['create', 'serviceaccount', 'default', '--namespace=prod'])
    await kubectl.apply(workflows)
    await kubectl.run(['wait', '--for=condition=established', 'crd/workflows.workflows.example.com'])
    await kubectl.apply(readFileSync(new URL('kubernetes-patches.yaml', import.meta.url), 'utf8'))
    const none = '"*.secrets.*.data"'
    const account = '"*.deployments.*.spec.template.spec.serviceAccountName"'
    agent = await api.agent((address) => manifests(address, work + held + debug, none))
    platform = await api.agent((address) => manifests(address, everything, none))
    masked = await api.agent((address) => manifests(address, work + hide, account))
  })
  after(() => api?.[Symbol.asyncDispose]())

  const attempt = ({ kubectl }: Agent, { args, input }: Way) =>
    kubectl.attempt(args, input === undefined ? {} : { input })
  const refusal = async (who: Agent, way: Way): Promise<string> => {
    const { status, stdout, stderr } = await attempt(who, way)
    assert.notEqual(status, 0, stdout)
    return stderr
  }
  const passes = async (who: Agent, way: Way): Promise<string> => {
    const { status, stdout, stderr } = await attempt(who, way)
    assert.equal(status, 0, stderr)
    return stdout
  }
  const versionOf = (object: string): Promise<string> =>
    api.plane.kubectl.run(['get', object, '--namespace=prod', '-o', 'jsonpath={.metadata.resourceVersion}'])
  const specOf = (object: string): Promise<string> =>
    api.plane.kubectl.run(['get', object, '--namespace=prod', '-o', 'jsonpath={.spec}'])

  const powers: readonly (readonly [object: string, says: RegExp])[] = [
    ['daemonset/agent', /no rule allows k8s:privileged on object prod\.daemonsets\.agent\./],
    ['deployment/files', /no rule allows k8s:hostAccess on object prod\.deployments\.files\./],
    ['deployment/strong', /no rule allows k8s:actAs on object prod\.serviceaccounts\.canary-account\./],
    ['statefulset/keyed', /no rule allows k8s:mount on object prod\.secrets\.db\./],
    ['cronjob/nightly', /no rule allows k8s:hostAccess on object prod\.cronjobs\.nightly\./],
    ['pod/box', /no rule allows k8s:privileged on object prod\.pods\.box\./],
  ]
  for (const [object, says] of powers)
    it(`refuses an image in ${object}, in every way`, async () => {
      const before = await versionOf(object)
      for (const [name, way] of Object.entries(waysToSet('evil:1', object))) {
        // of these the patch itself leaves nothing of the container but its image
        const loses = name === 'a merge patch' && /agent|keyed/.test(object)
        if (!loses) assert.match(await refusal(agent, way), says, name)
      }
      assert.equal(await versionOf(object), before)
    })

  it('refuses a command, a container and a variable beside a power as well', async () => {
    const patches = [
      { containers: [{ name: 'c', command: ['sh', '-c', 'id'] }] },
      { initContainers: [{ name: 'x', image: 'evil:1' }] },
      { containers: [{ name: 'c', env: [{ name: 'LD_PRELOAD', value: '/tmp/x' }] }] },
    ]
    for (const spec of patches) {
      const patch = JSON.stringify({ spec: { template: { spec } } })
      const args = ['patch', 'daemonset', 'agent', '--namespace=prod', `--patch=${patch}`]
      assert.match(await refusal(agent, { args }), /no rule allows k8s:privileged/)
    }
    const patch = '{"spec":{"steps":[{"script":"new","securityContext":{}}],"serviceAccountName":"x"}}'
    const own = ['patch', 'workflow', 'build', '--namespace=prod', '--type=merge', `--patch=${patch}`]
    assert.match(await refusal(agent, { args: own }), /no rule allows k8s:actAs/)
    const script = '[{"op":"replace","path":"/spec/steps/0/script","value":"new"}]'
    const scripted = ['patch', 'workflow', 'build', '--namespace=prod', '--type=json', `--patch=${script}`]
    assert.match(await refusal(agent, { args: scripted }), /no rule allows k8s:privileged/)
    assert.match(await specOf('workflow/build'), /"script":"old"/)
  })

  it('refuses a debug container in a pod with powers, by a patch as by an update', async () => {
    const put = async (pod: string): Promise<{ readonly status: number; readonly message?: string }> => {
      const { port } = agent.guard.address
      const body = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: pod },
        spec: { ephemeralContainers: [{ name: 'put', image: 'debug:1', terminationMessagePolicy: 'File' }] },
      }
      const answer = await fetch(
        `http://127.0.0.1:${port}/api/v1/namespaces/prod/pods/${pod}/ephemeralcontainers`,
        { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      )
      const { message } = (await answer.json()) as { readonly message?: string }
      return { status: answer.status, ...(message !== undefined && { message }) }
    }
    const before = await versionOf('pod/box')
    const refused = await put('box')
    assert.equal(refused.status, 403, refused.message)
    assert.match(refused.message ?? '', /no rule allows k8s:privileged on object prod\.pods\.box/)
    const args = ['debug', 'box', '--image=debug:1', '--container=patched', '--namespace=prod']
    assert.match(await refusal(agent, { args }), /no rule allows k8s:privileged on object prod\.pods\.box/)
    assert.equal(await versionOf('pod/box'), before)
    const passed = await put('plain')
    assert.equal(passed.status, 200, passed.message)
    assert.match(await specOf('pod/plain'), /"ephemeralContainers":\[\{[^\]]*"name":"put"/)
  })

  it('refuses to take away, by leaving it out of an apply, what keeps a container with powers in bounds', async () => {
    const applied = (more: object): Way => ({
      args: ['apply', '--server-side', '--force-conflicts', '--field-manager=owner', '-f', '-'],
      input: JSON.stringify({
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'kept', namespace: 'prod' },
        ...more,
      }),
    })
    const container = { name: 'c', image: 'old:1', securityContext: { privileged: true } }
    const template = { metadata: { labels: { app: 'kept' } }, spec: { containers: [container] } }
    const made = applied({ spec: { selector: { matchLabels: { app: 'kept' } }, template } })
    await api.plane.kubectl.run(['create', '-f', '-'], { input: made.input ?? '' })
    const { args, input = '' } = applied({
      spec: { template: { spec: { containers: [{ name: 'c', args: ['--only-this'] }] } } },
    })
    await api.plane.kubectl.run(args, { input })
    assert.match(await refusal(agent, applied({})), /no rule allows k8s:privileged/)
    assert.match(await specOf('daemonset/kept'), /--only-this/)
    await passes(platform, applied({}))
    assert.doesNotMatch(await specOf('daemonset/kept'), /--only-this/)
  })

  it('refuses to have an earlier template put back that nobody sees', async () => {
    const rollback = 'deprecated.deployment.rollback.to'
    const patch = JSON.stringify({ metadata: { annotations: { [rollback]: '1' } } })
    const ways = [
      ['annotate', 'deployment', 'web', `${rollback}=1`],
      ['patch', 'deployment', 'web', '--type=merge', `--patch=${patch}`],
      ['patch', 'deployment', 'web', '--subresource=status', '--type=merge', `--patch=${patch}`],
    ]
    for (const args of ways)
      assert.match(await refusal(agent, { args: [...args, '--namespace=prod'] }), /an earlier template/)
    const taken = ['annotate', 'deployment', 'web', `${rollback}-`, '--namespace=prod']
    await passes(agent, { args: taken })
  })

  it('lets an image be set in every way where nothing has powers', async () => {
    let version = 1
    for (const object of ['deployment/web', 'pod/plain'])
      for (const name of Object.keys(waysToSet('', object))) {
        const image = `new:${++version}`
        const way = waysToSet(image, object)[name]
        assert.ok(way)
        await passes(agent, way)
        assert.match(await specOf(object), new RegExp(`"image":"${image}"`), name)
      }
  })

  it('lets labels, annotations, replicas and restarts be set whatever there is', async () => {
    const ways = [
      ['label', 'daemonset/agent', 'a=b'],
      ['annotate', 'pod/box', 'a=b'],
      ['scale', 'deployment/strong', '--replicas=1'],
      ['patch', 'deployment/files', '--type=merge', '--patch={"spec":{"replicas":1}}'],
      ['rollout', 'restart', 'daemonset/agent'],
      ['set', 'image', 'daemonset/agent', 'c=tried:1', '--dry-run=server'],
    ]
    for (const args of ways) await passes(agent, { args: [...args, '--namespace=prod'] })
  })

  it('hands on what the API server says against a patch', async () => {
    const manager = ['apply', '--server-side', '--field-manager=other', '-f', '-']
    const applied = waysToSet('mine:1', 'deployment/web')['server-side apply']?.input ?? ''
    assert.match(await refusal(agent, { args: manager, input: applied }), /Apply failed with 1 conflict/)
    const patch = '{"spec":{"template":{"spec":{"containers":[{"name":"C!","image":"x"}]}}}}'
    const args = ['patch', 'deployment', 'web', '--namespace=prod', `--patch=${patch}`]
    assert.match(await refusal(agent, { args }), /The Deployment "web" is invalid: .*Invalid value: "C!"/)
    const { port } = agent.guard.address
    const missing = await fetch(
      `http://127.0.0.1:${port}/apis/apps/v1/namespaces/prod/deployments/missing?fieldManager=x`,
      { method: 'PATCH', body: patch, headers: { 'content-type': 'application/strategic-merge-patch+json' } },
    )
    const status = (await missing.json()) as { readonly reason: string; readonly message: string }
    assert.deepEqual([missing.status, status.reason], [404, 'NotFound'], status.message)
  })

  it('asks nothing of whom everything of pods is allowed', async () => {
    await passes(platform, { args: ['set', 'image', 'daemonset/agent', 'c=new:1', '--namespace=prod'] })
    assert.match(await specOf('daemonset/agent'), /"image":"new:1"/)
  })

  it('says nothing of what is masked', async () => {
    const args = ['set', 'image', 'deployment/strong', 'c=evil:1', '--namespace=prod']
    const said = await refusal(masked, { args })
    assert.match(said, /denied: it depends on what there is already, in which something is masked/)
    assert.ok(!said.includes('canary'), said)
    const [line] = await masked.guard.audited(1, /^PATCH /)
    assert.match(String(line?.reason), /k8s:actAs on object prod\.serviceaccounts\.canary-account/)
  })

  const approvals = (): string => join(agent.guard.directory, 'approvals')
  const open = async (): Promise<ApprovalRequest> => {
    for (;;) {
      const requests = await listRequests(approvals()).catch(() => [])
      const waiting = requests.find(({ status }) => (status?.state ?? 'Pending') === 'Pending')
      if (waiting) return waiting
      await delay(50)
    }
  }
  const setHeld = (image: string) =>
    attempt(agent, { args: ['set', 'image', 'deployment/held', `c=${image}`, '--namespace=prod'] })

  it('shows people what comes of a patch, and takes their word for that alone', async () => {
    const first = setHeld('new:1')
    const asked = await open()
    assert.ok(asked.spec.command?.actions.includes('k8s:mount'), JSON.stringify(asked.spec.command))
    assert.ok(asked.spec.command?.objects.some((object) => object.includes('prod.secrets.held')))
    await decideRequest(approvals(), asked.metadata.name, { decision: 'Approved', reason: 'a test' })
    const { status, stderr } = await first
    assert.equal(status, 0, stderr)

    const second = setHeld('new:2')
    const again = await open()
    const privileged =
      '{"spec":{"template":{"spec":{"containers":[{"name":"c","securityContext":{"privileged":true}}]}}}}'
    await api.plane.kubectl.run(['patch', 'deployment', 'held', '--namespace=prod', `--patch=${privileged}`])
    await decideRequest(approvals(), again.metadata.name, { decision: 'Approved', reason: 'a test' })
    const refused = await second
    assert.notEqual(refused.status, 0)
    assert.match(refused.stderr, /what comes of it is no more what people were shown/)
    assert.match(await specOf('deployment/held'), /"image":"new:1"/)
  })

  it('leaves a line of each with what came of it', async () => {
    const ofPrivileged = await agent.guard.auditLines(
      ({ event, text, decision }) =>
        event === 'command' && /PATCH .*daemonsets\/agent/.test(String(text)) && decision === 'deny',
      7,
    )
    for (const { actions } of ofPrivileged)
      assert.ok((actions as readonly string[]).includes('k8s:privileged'))
  })
})

const workflows = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: workflows.workflows.example.com}
spec:
  group: workflows.example.com
  scope: Namespaced
  names: {plural: workflows, singular: workflow, kind: Workflow}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

import assert from 'node:assert/strict'
import type { AgentIdentity, ProtectedResource } from '@firebreak/crds'
import type { V1Container, V1VolumeMount } from '@kubernetes/client-node'
import { clientWarnings } from './clients.ts'
import { type AdmittedPod, inject } from './inject.ts'
import { objections, tampering, withoutInjected } from './objections.ts'

const meta = (name: string) => ({ name, namespace: 'agents', uid: name })
const resource = (name: string, type: 'kubernetes' | 'postgresql'): ProtectedResource =>
  ({
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: meta(name),
    spec: { type, address: `${name}.example:443`, tls: { mode: 'verify-full' }, roles: [] },
  }) as unknown as ProtectedResource
const identity = {
  metadata: meta('deployer'),
  spec: { access: [{ resource: 'cluster', roles: ['deployer'] }] },
} as unknown as AgentIdentity
const resources = [resource('cluster', 'kubernetes'), resource('orders', 'postgresql')]
const context = {
  images: { enforcer: 'firebreak/sidecar:1', envoy: 'envoyproxy/envoy:1' },
  control: 'firebreak-operator.firebreak-system.svc:18000',
  controlCa: 'PEM',
}
const uids = { envoy: 1_234_567_890, enforcer: 1_234_567_891 }
const injected = (container: Partial<V1Container> = {}, some = resources): AdmittedPod =>
  inject(
    { metadata: { name: 'p' }, spec: { containers: [{ name: 'agent', image: 'x', ...container }] } },
    identity,
    some,
    context,
    uids,
  )
const agentOf = ({ spec }: AdmittedPod): V1Container =>
  spec.containers[0] ?? assert.fail('it has a container')
const kubeconfigOf = (pod: AdmittedPod): string | undefined =>
  agentOf(pod).env?.find(({ name }) => name === 'KUBECONFIG')?.value
const mount = (more: Partial<V1VolumeMount> = {}): V1VolumeMount => ({
  name: 'firebreak-clients',
  mountPath: '/etc/firebreak',
  readOnly: true,
  ...more,
})

describe("clients of Kubernetes in an agent's pod", () => {
  it('are led to the protected clusters by a kubeconfig that they only read', () => {
    const pod = injected()
    assert.equal(kubeconfigOf(pod), '/etc/firebreak/kubeconfig')
    assert.deepEqual(agentOf(pod).volumeMounts, [mount()])
    const enforcer = pod.spec.initContainers?.find(({ name }) => name === 'firebreak-enforcer')
    assert.ok(enforcer?.args?.includes('--clients=/etc/firebreak'))
    assert.ok(enforcer?.volumeMounts?.some(({ name, readOnly }) => name === 'firebreak-clients' && !readOnly))
  })

  it('are left alone where no cluster is protected', () => {
    const pod = injected({}, [resource('orders', 'postgresql')])
    assert.equal(kubeconfigOf(pod), undefined)
    assert.equal(agentOf(pod).volumeMounts, undefined)
    assert.deepEqual(clientWarnings(pod.spec.containers, [resource('orders', 'postgresql')]), [])
  })

  for (const [what, container] of [
    ['a variable', { env: [{ name: 'KUBECONFIG', value: '/own' }] }],
    ['a mount of its home', { volumeMounts: [{ name: 'own', mountPath: '/root/.kube' }] }],
    ['a mounted file', { volumeMounts: [{ name: 'own', mountPath: '/home/agent/.kube/config' }] }],
  ] as const) {
    it(`keep their own by ${what}, and whoever makes the pod is told`, () => {
      const own: Partial<V1Container> = JSON.parse(JSON.stringify(container))
      assert.equal(kubeconfigOf(injected(own)), own.env?.[0]?.value)
      assert.deepEqual(clientWarnings([{ name: 'agent', image: 'x', ...own }], resources), [
        'container agent keeps its own kubeconfig: that of the protected clusters is /etc/firebreak/kubeconfig',
      ])
    })
  }

  it('say nothing to whoever makes the pod where there is nothing to say', () => {
    assert.deepEqual(clientWarnings([{ name: 'agent', image: 'x' }], resources), [])
  })
})

describe("clients of an agent's pod that come by TLS", () => {
  const api = {
    ...resource('api', 'postgresql'),
    spec: { ...resource('api', 'postgresql').spec, type: 'http' },
  }
  const variables = (pod: AdmittedPod): Record<string, string | undefined> =>
    Object.fromEntries((agentOf(pod).env ?? []).map(({ name, value }) => [name, value]))

  it('trust what the enforcer writes, unless a container says otherwise', () => {
    const own = { env: [{ name: 'CURL_CA_BUNDLE', value: '/own' }] }
    const { CURL_CA_BUNDLE, ...others } = variables(injected(own, [api as ProtectedResource]))
    for (const name of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS', 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'])
      assert.equal(others[name], '/etc/firebreak/ca.crt', name)
    assert.equal(CURL_CA_BUNDLE, '/own')
  })

  it('are left alone where nothing is reached by TLS', () => {
    const plain = { ...api, spec: { ...api.spec, tls: { mode: 'disable' } } } as ProtectedResource
    for (const some of [[plain], [resource('orders', 'postgresql')]]) {
      const pod = injected({}, some)
      assert.equal(variables(pod).SSL_CERT_FILE, undefined)
      assert.equal(agentOf(pod).volumeMounts, undefined)
    }
  })
})

describe("what a pod is given to reach its cluster's own API", () => {
  const account = '/var/run/secrets/kubernetes.io/serviceaccount'
  const given = { name: 'kube-api-access-x1', mountPath: account, readOnly: true }
  const cluster = resource('cluster', 'kubernetes')
  const own = { ...cluster, spec: { ...cluster.spec, address: 'kubernetes.default.svc:443' } }
  const podWith = (mounts: V1VolumeMount[], some: ProtectedResource[]): AdmittedPod => {
    const containers = [{ name: 'agent', image: 'x', volumeMounts: mounts }]
    return inject({ metadata: { name: 'p' }, spec: { containers } }, identity, some, context, uids, 'PEM')
  }
  const accountOf = (pod: AdmittedPod): string | undefined =>
    agentOf(pod).volumeMounts?.find(({ mountPath }) => mountPath === account)?.name

  it('leads to the sidecar where that API is protected', () => {
    const pod = podWith([given], [own])
    assert.equal(accountOf(pod), 'firebreak-account')
    assert.equal(pod.metadata?.annotations?.['firebreak.dev/authority'], 'PEM')
    assert.ok(pod.spec.volumes?.some(({ name }) => name === 'firebreak-account'))
    assert.deepEqual(tampering(pod, identity, [own], context), [])
    assert.deepEqual(objections(withoutInjected(pod), identity, [own]), [])
  })

  it('stays where another API is protected', () => {
    const pod = podWith([given], [cluster])
    assert.equal(accountOf(pod), given.name)
    assert.equal(pod.metadata?.annotations?.['firebreak.dev/authority'], undefined)
    assert.ok(!pod.spec.volumes?.some(({ name }) => name === 'firebreak-account'))
  })

  it('stays where the pod mounts its own', () =>
    assert.equal(accountOf(podWith([{ ...given, name: 'mine' }], [own])), 'mine'))
})

describe("the clients' files", () => {
  const changed = (mounts: V1VolumeMount[]): AdmittedPod => {
    const pod = structuredClone(injected())
    agentOf(pod).volumeMounts = mounts
    return pod
  }
  const problems = (pod: AdmittedPod): string[] => [
    ...tampering(pod, identity, resources, context),
    ...objections(withoutInjected(pod), identity, resources),
  ]

  for (const [what, mounts] of [
    ['as they were given', [mount()]],
    ['as the API server keeps them', [mount({ recursiveReadOnly: 'Disabled' })]],
    ['not at all', []],
  ] as const)
    it(`may be mounted ${what}`, () => assert.deepEqual(problems(changed([...mounts])), []))

  for (const [what, mounts] of [
    ['to be written to', [mount({ readOnly: false })]],
    ['to be written to beside', [mount(), mount({ mountPath: '/x', readOnly: false })]],
    ['elsewhere', [mount({ mountPath: '/x' })]],
    ['in part', [mount({ subPath: 'kubeconfig' })]],
    ['spreading', [mount({ mountPropagation: 'HostToContainer' })]],
    ['under something else', [{ name: 'own', mountPath: '/etc/firebreak' }]],
  ] as const)
    it(`may not be mounted ${what}`, () => assert.notDeepEqual(problems(changed([...mounts])), []))
})

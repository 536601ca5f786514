import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type AgentIdentity, loadManifests, type ManifestSet } from '@firebreak/crds'
import type { V1Container, V1PodSpec } from '@kubernetes/client-node'
import { parse } from 'yaml'
import { labels } from '../containment/names.ts'
import type { AdmissionRequest } from '../webhooks/admission.ts'
import { validatePodUpdate } from '../webhooks/pods.ts'
import { type AdmittedPod, inject, templateVersion } from './inject.ts'
import { ephemeralObjections, objections, tampering } from './objections.ts'

const context = {
  images: { enforcer: 'firebreak/sidecar:1', envoy: 'envoyproxy/envoy:1' },
  control: 'firebreak-operator.firebreak-system.svc:18000',
  controlCa: 'PEM',
}
const uids = { envoy: 1_234_567_890, enforcer: 1_234_567_891 }
function manifestsOf(name: string): ManifestSet {
  const text = readFileSync(new URL(`testdata/${name}`, import.meta.url), 'utf8')
  return loadManifests([{ path: 'x.yaml', text }]).manifests
}
const { identities, resources } = manifestsOf('manifests.yaml')
const identity = identities[0] as AgentIdentity

function podWith(spec: Partial<V1PodSpec> = {}, container: Partial<V1Container> = {}): AdmittedPod {
  return {
    metadata: { name: 'p', labels: { app: 'support-bot' } },
    spec: { containers: [{ name: 'agent', image: 'python', ...container }], ...spec },
  }
}
const injected = (pod = podWith()): AdmittedPod => inject(pod, identity, resources, context, uids)

describe('injection', () => {
  it('puts the sidecars first, then the rules, before everything of the pod', () => {
    const { spec } = injected(podWith({ initContainers: [{ name: 'prepare', image: 'x' }] }))
    assert.deepEqual(
      spec.initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy]),
      [
        ['firebreak-enforcer', 'Always'],
        ['firebreak-envoy', 'Always'],
        ['firebreak-rules', undefined],
        ['prepare', undefined],
      ],
    )
  })

  it('tells clients where the database is, and leaves what a container says itself', () => {
    const environment = (container: Partial<V1Container>): Record<string, string | undefined> =>
      Object.fromEntries(
        (injected(podWith({}, container)).spec.containers[0]?.env ?? []).map(({ name, value }) => [
          name,
          value,
        ]),
      )
    assert.deepEqual(environment({}), {
      FIREBREAK_API: 'http://127.0.0.1:15022',
      FIREBREAK_ORDERS_DB_HOST: '127.0.0.1',
      FIREBREAK_ORDERS_DB_PORT: '15432',
      PGHOST: '127.0.0.1',
      PGPORT: '15432',
      PGSSLMODE: 'disable',
      PGUSER: 'reader',
      PGDATABASE: 'orders',
    })
    assert.equal(environment({ env: [{ name: 'PGHOST', value: 'mine' }] }).PGHOST, 'mine')
  })

  it('takes from every container what could become the sidecar, and nothing more', () => {
    const { securityContext } =
      injected(podWith({}, { securityContext: { runAsUser: 0 } })).spec.containers[0] ?? {}
    assert.deepEqual(securityContext, {
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['SETUID', 'SETGID', 'NET_RAW', 'NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'] },
    })
  })

  it('gives the token of the operator to the enforcer alone, and NET_ADMIN to the rules alone', () => {
    const { initContainers = [], containers } = injected(
      podWith({ initContainers: [{ name: 'x', image: 'x' }] }),
    ).spec
    const all = [...initContainers, ...containers]
    const having = (what: (container: V1Container) => boolean | undefined): string[] =>
      all.filter(what).map(({ name }) => name)
    assert.deepEqual(
      having(({ volumeMounts }) => volumeMounts?.some(({ name }) => name === 'firebreak-token')),
      ['firebreak-enforcer'],
    )
    assert.deepEqual(
      having(({ securityContext }) => (securityContext?.capabilities?.add?.length ?? 0) > 0),
      ['firebreak-rules'],
    )
    assert.deepEqual(
      having(({ securityContext }) => securityContext?.readOnlyRootFilesystem !== true),
      ['x', 'agent'],
    )
  })

  it('has a version that changes with what is injected', () => {
    const other = { ...context, images: { ...context.images, envoy: 'envoyproxy/envoy:2' } }
    assert.notEqual(templateVersion(other), templateVersion(context))
    assert.equal(templateVersion({ ...context }), templateVersion(context))
  })
})

interface Case {
  readonly name: string
  readonly spec?: Partial<V1PodSpec>
  readonly container?: Partial<V1Container>
  readonly refused?: string
}

describe('a pod that would undo its containment', () => {
  const named = manifestsOf('hosts.yaml')
  const cases = parse(readFileSync(new URL('testdata/objections.yaml', import.meta.url), 'utf8')) as Case[]
  for (const { name, spec, container, refused } of cases) {
    it(`${refused === undefined ? 'passes' : 'is refused'}: ${name}`, () => {
      const found = objections(
        podWith(spec, container),
        named.identities[0] as AgentIdentity,
        named.resources,
      )
      if (refused === undefined) assert.deepEqual(found, [])
      else assert.ok(found.join('; ').includes(refused), found.join('; '))
    })
  }

  const changes: readonly [string, (pod: AdmittedPod) => void][] = [
    [
      'another image of a sidecar',
      ({ spec }) => Object.assign(spec.initContainers?.[0] ?? {}, { image: 'evil' }),
    ],
    [
      'a command for a sidecar',
      ({ spec }) => Object.assign(spec.initContainers?.[1] ?? {}, { command: ['sh'] }),
    ],
    [
      'another configuration for Envoy',
      ({ spec }) => Object.assign(spec.initContainers?.[1]?.args ?? [], ['--config-yaml', '{}']),
    ],
    ['rules that let the agent start at once', ({ spec }) => void spec.initContainers?.[2]?.args?.pop()],
    [
      'a variable for Envoy',
      ({ spec }) =>
        Object.assign(spec.initContainers?.[1] ?? {}, { env: [{ name: 'LD_PRELOAD', value: 'x' }] }),
    ],
    ['another order', ({ spec }) => spec.initContainers?.reverse()],
    ['no rules', ({ spec }) => void spec.initContainers?.pop()],
    [
      'rules that are started over and over',
      ({ spec }) => Object.assign(spec.initContainers?.[2] ?? {}, { restartPolicy: 'Always' }),
    ],
    [
      'an init container before the sidecars',
      ({ spec }) => spec.initContainers?.unshift({ name: 'early', image: 'x' }),
    ],
    [
      'an init container between the sidecars and the rules',
      ({ spec }) => spec.initContainers?.splice(2, 0, { name: 'early', image: 'x' }),
    ],
    [
      'a second container of that name',
      ({ spec }) => spec.containers.push({ name: 'firebreak-envoy', image: 'x' }),
    ],
    [
      'rights given back',
      ({ spec }) => Object.assign(spec.containers[0]?.securityContext ?? {}, { capabilities: {} }),
    ],
    [
      'privilege escalation',
      ({ spec }) =>
        Object.assign(spec.containers[0]?.securityContext ?? {}, { allowPrivilegeEscalation: true }),
    ],
    ['a disk for the sockets', ({ spec }) => Object.assign(spec.volumes?.[0] ?? {}, { emptyDir: {} })],
    [
      'another agent',
      ({ metadata }) => Object.assign(metadata?.labels ?? {}, { 'firebreak.dev/agent': 'other' }),
    ],
    [
      'users outside of the range',
      ({ metadata }) => Object.assign(metadata?.annotations ?? {}, { 'firebreak.dev/uids': '0,1000' }),
    ],
    [
      'one user for both',
      ({ metadata }) =>
        Object.assign(metadata?.annotations ?? {}, { 'firebreak.dev/uids': '1234567890,1234567890' }),
    ],
  ]
  for (const [name, change] of changes) {
    it(`is seen after injection: ${name}`, () => {
      const pod = structuredClone(injected())
      assert.deepEqual(tampering(pod, identity, resources, context), [])
      change(pod)
      assert.notDeepEqual(tampering(pod, identity, resources, context), [])
    })
  }

  it("lets the API server's defaults and the pod's own token be", () => {
    const pod = structuredClone(injected())
    for (const container of pod.spec.initContainers ?? []) {
      container.terminationMessagePath = '/dev/termination-log'
      container.imagePullPolicy = 'IfNotPresent'
      container.volumeMounts = [
        ...(container.volumeMounts ?? []),
        { name: 'kube-api-access-x', mountPath: '/x' },
      ]
      if (container.readinessProbe) container.readinessProbe.timeoutSeconds = 1
    }
    assert.deepEqual(tampering(pod, identity, resources, context), [])
  })

  it('takes ephemeral containers once it is contained', () => {
    const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }
    const metadata = { labels: { [labels.agent]: 'support-bot' } }
    const adding = (initContainerStatuses: readonly object[]): boolean =>
      validatePodUpdate({
        uid: '1',
        operation: 'UPDATE',
        subResource: 'ephemeralcontainers',
        userInfo: {},
        oldObject: { metadata, spec: {} },
        object: {
          metadata,
          spec: { ephemeralContainers: [{ name: 'debug', image: 'x', securityContext }] },
          status: { initContainerStatuses },
        },
      } as unknown as AdmissionRequest).allowed
    const rules = (state: object) => ({ name: 'firebreak-rules', state })
    assert.equal(adding([rules({ terminated: { exitCode: 0 } })]), true)
    for (const before of [
      [],
      [{ name: 'firebreak-enforcer', state: { running: {} } }],
      [rules({ waiting: { reason: 'PodInitializing' } })],
      [rules({ running: {} })],
      [rules({ terminated: { exitCode: 1 } })],
      [{ name: 'prepare', state: { terminated: { exitCode: 0 } } }],
    ])
      assert.equal(adding(before), false, JSON.stringify(before))
  })

  it('takes only harmless ephemeral containers', () => {
    const debug = { name: 'debug', image: 'x' }
    const restricted = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }
    assert.deepEqual(ephemeralObjections({ ...debug, securityContext: restricted }), [])
    assert.match(ephemeralObjections(debug).join(), /--profile=restricted/)
    assert.match(
      ephemeralObjections({
        ...debug,
        securityContext: restricted,
        targetContainerName: 'firebreak-enforcer',
      }).join(),
      /out of reach/,
    )
    assert.match(
      ephemeralObjections({ ...debug, securityContext: { ...restricted, runAsUser: 1_234_567_890 } }).join(),
      /for sidecars/,
    )
  })
})

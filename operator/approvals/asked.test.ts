import assert from 'node:assert/strict'
import { type ApprovalRequest, loadManifests } from '@firebreak/crds'
import { asked } from './asked.ts'

const text = `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop, namespace: agents}
spec:
  type: postgresql
  address: db.example:5432
  roles: [{name: reader, credential: {secret: {name: reader}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: bot, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: bot}}, serviceAccounts: [bot]}
  access: [{resource: shop, roles: [reader]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: watch, namespace: agents}
spec:
  signals:
    - {kind: tampering, action: suspend, groups: [security]}
    - {kind: probing, action: requireApproval}
    - {kind: firstSeen}
`
const { manifests } = loadManifests([{ path: 'agents.yaml', text }])
const { identities, resources, policies } = manifests
const configuration = {
  namespace: 'agents',
  name: 'bot',
  revision: 'r',
  objects: { identities, resources, policies, secrets: [] },
}
const now = new Date('2026-03-02T00:00:00Z')
const asking = { pod: 'bot-1', agent: 'agents/bot', configuration, now } as const

function request(spec: Partial<ApprovalRequest['spec']>): ApprovalRequest {
  return {
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ApprovalRequest',
    metadata: { name: 'bot-bcdfg', namespace: 'agents' },
    spec: {
      identity: 'bot',
      chain: [{ identity: 'agents/bot' }],
      resource: '*',
      role: '*',
      kind: 'resumption',
      requestedAt: '2026-03-01T00:00:00Z',
      resumption: { action: 'suspend', signal: 'tampering', explanation: 'It did.', evidence: ['R1'] },
      requirements: [{ policy: 'agents/watch', rule: 'signal tampering', groups: ['security'], quorum: 1 }],
      ...spec,
    },
  }
}

describe('what a sidecar may ask people for because of a signal', () => {
  it('is to give back what the signal took, without an end', () => {
    const answer = asked(request({}), asking)
    assert.ok(answer.ok, JSON.stringify(answer))
    const { spec } = answer.value
    assert.equal(spec.expiresAt, undefined)
    assert.equal(spec.resumption?.signal, 'tampering')
    assert.equal(spec.requestedAt, now.toISOString())
  })

  const refused: readonly (readonly [string, Partial<ApprovalRequest['spec']>])[] = [
    ['of other people', { requirements: [{ policy: 'agents/watch', rule: 'signal tampering', quorum: 1 }] }],
    [
      'for another action',
      { resumption: { action: 'requireApproval', signal: 'tampering', explanation: '', evidence: [] } },
    ],
    [
      'by another signal',
      { resumption: { action: 'suspend', signal: 'probing', explanation: '', evidence: [] } },
    ],
    [
      'by a signal that only alerts',
      {
        resumption: { action: 'suspend', signal: 'firstSeen', explanation: '', evidence: [] },
        requirements: [{ policy: 'agents/watch', rule: 'signal firstSeen', quorum: 1 }],
      },
    ],
    ['of one resource', { resource: 'payroll' }],
    ['of another agent', { chain: [{ identity: 'agents/other' }] }],
  ]
  for (const [name, spec] of refused)
    it(`is nothing ${name}`, () => {
      assert.equal(asked(request(spec), asking).ok, false)
    })

  it('is each command, where the signal holds them', () => {
    const held = {
      kind: 'command',
      resource: 'shop',
      role: 'reader',
      command: { text: 'SELECT 1', digest: 'd', actions: ['sql:select'], objects: [] },
    } as const
    const { resumption: _, ...spec } = request({}).spec
    const command = { ...held.command, actions: [...held.command.actions], objects: [] }
    const of = (requirements: ApprovalRequest['spec']['requirements']): boolean =>
      asked({ ...request({}), spec: { ...spec, ...held, command, requirements } }, asking).ok
    const by = (rule: string, groups?: string[]): boolean =>
      of([{ policy: 'agents/watch', rule, quorum: 1, ...(groups && { groups }) }])
    assert.equal(by('signal probing'), true)
    assert.equal(by('signal tampering', ['security']), false)
    assert.equal(by('signal firstSeen'), false)
    assert.equal(of([]), false)
  })
})

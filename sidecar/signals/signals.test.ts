import assert from 'node:assert/strict'
import { ManualClock } from '../../test/manual-clock.ts'
import type { Notices } from '../audit/lines.ts'
import { compileConfiguration } from '../configuration/configuration.ts'
import { Restrictions } from './restrictions.ts'
import { Signals } from './signals.ts'

const text = `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop, namespace: agents}
spec:
  type: postgresql
  address: db.example:5432
  roles: [{name: reader, credential: {env: {password: SHOP_PASSWORD}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: bot, namespace: agents}
spec:
  authentication: {loopback: {}}
  access: [{resource: shop, roles: [reader]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: watch, namespace: agents}
spec:
  signals:
    - {kind: egress, threshold: 5, action: suspend}
    - {kind: tokenMisuse, threshold: 3, action: suspend}
`

function station(): { signals: Signals; restrictions: Restrictions; lines: Notices['signal'][] } {
  const { configuration, problems } = compileConfiguration([{ path: 'a.yaml', text }], '/')
  assert.ok(configuration, JSON.stringify(problems))
  const lines: Notices['signal'][] = []
  // nobody can be asked, as while an operator can't be reached
  const restrictions = new Restrictions({ approvals: () => undefined, changed: () => {}, resumed: () => {} })
  const signals = new Signals({
    configuration: () => configuration,
    clock: new ManualClock(),
    audit: (line) => lines.push(line),
    restrictions,
  })
  return { signals, restrictions, lines }
}
const chain = [{ identity: 'agents/bot', groups: [] }] as const

describe('what signals hear', () => {
  it('of a contained agent that tells a stranger by names, and not of one that asks for the same again', () => {
    const { signals, restrictions, lines } = station()
    const ask = (name: string): void =>
      signals.heard('egress.refused', {
        identity: 'agents/bot',
        kind: 'name',
        name,
        reason: 'it is not allowed',
      })
    for (let turn = 0; turn < 100; turn++) ask('telemetry.example A')
    assert.equal(lines.length, 0)
    for (const part of ['c2Vj', 'cmV0', 'IG9m', 'IHRo']) ask(`${part}.evil.example TXT`)
    assert.deepEqual(
      lines.map(({ kind, identity, action, severity }) => [kind, identity, action, severity]),
      [['egress', 'agents/bot', 'suspend', 'critical']],
    )
    assert.match(restrictions.refusal([...chain]) ?? '', /agents\/bot is suspended by signal egress/)
  })

  it('of connections past the gateway, each destination once', () => {
    const { signals, lines } = station()
    for (let port = 5_430; port < 5_435; port++)
      signals.heard('egress.refused', {
        identity: 'agents/bot',
        kind: 'connection',
        destination: `10.0.0.7:${port}`,
        reason: 'only port 5432 is guarded',
      })
    assert.match(lines[0]?.explanation ?? '', /tried 5 different ways out of its pod/)
  })

  it('of strangers forgets no agent, however many they are', () => {
    const { signals, restrictions, lines } = station()
    const token = (remote: string, identity?: 'agents/bot'): void =>
      signals.heard('signal', {
        kind: 'tokenMisuse',
        severity: 'low',
        problem: 'otherSidecar',
        explanation: 'A client was refused: the token is of another process.',
        reference: 'R1',
        resource: 'agents/shop',
        remote,
        ...(identity && { identity }),
      })
    token('10.0.0.1', 'agents/bot')
    token('10.0.0.1', 'agents/bot')
    for (let n = 0; n < 20_000; n++) token(`10.1.${n >> 8}.${n & 255}`)
    assert.equal(lines.length, 0)
    for (let turn = 0; turn < 3; turn++) token('10.2.0.1')
    assert.deepEqual(
      lines.map(({ action, identity, explanation }) => [action, identity, explanation.slice(0, 21)]),
      [['alert', undefined, 'Somebody at 10.2.0.1 ']],
    )
    assert.equal(restrictions.on([...chain]), undefined)
    token('10.0.0.1', 'agents/bot')
    assert.equal(restrictions.on([...chain])?.action, 'suspend')
  })
})

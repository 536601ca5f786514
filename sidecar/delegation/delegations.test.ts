import assert from 'node:assert/strict'
import { loadManifests } from '@firebreak/crds'
import { compilePolicy } from '@firebreak/policy'
import { ManualClock } from '../../test/manual-clock.ts'
import type { Configuration } from '../configuration/configuration.ts'
import type { RootProof } from './delegation.ts'
import { type DelegationAsk, Delegations } from './delegations.ts'

const root: RootProof = { kind: 'loopback', identity: 'default/parent', groups: [] }
const by = { kind: 'root', proof: root } as const

function configurationOf(parent: string): Configuration {
  const identity = (name: string, spec: string): string =>
    `apiVersion: firebreak.dev/v1alpha1\nkind: AgentIdentity\nmetadata: {name: ${name}}\nspec: {${spec}}\n`
  const text = `${identity('parent', parent)}---\n${identity('child', 'delegation: {maxDepth: 1}')}`
  const { manifests, locate } = loadManifests([{ path: 'a', text }])
  const compiled = compilePolicy(manifests)
  assert.ok(compiled.ok)
  return { directory: '.', manifests, locate, snapshot: compiled.snapshot }
}

describe('delegations', () => {
  let clock: ManualClock
  let configuration: Configuration
  let events: string[]
  let ended: number
  let delegations: Delegations

  beforeEach(() => {
    clock = new ManualClock()
    configuration = configurationOf('delegation: {maxDepth: 2}')
    events = []
    ended = 0
    delegations = new Delegations({
      configuration: () => configuration,
      identities: { renewed: (proof) => ({ ok: true, value: proof }) },
      clock,
      notice: (event) => events.push(event),
      ended: () => {
        ended++
      },
    })
  })

  const issue = (ask: Partial<DelegationAsk> = {}, from: Parameters<Delegations['issue']>[0] = by) =>
    delegations.issue(from, { to: 'child', ...ask }, 'test')
  const refusal = async (issued: ReturnType<typeof issue>): Promise<string> => {
    const result = await issued
    return result.ok ? 'issued' : `${result.error.code}: ${result.error.message}`
  }

  it('are not made below one that has ended since its child asked', async () => {
    const first = await issue()
    assert.ok(first.ok)
    const { delegation } = first.value
    delegations.revoke(by, delegation.id)
    assert.equal(
      await refusal(issue({}, { kind: 'child', delegation })),
      'unfit: the delegation parent → child → child has ended: revoked by parent',
    )
    assert.deepEqual([...delegations.open], [])
    assert.deepEqual(events, ['delegation.issued', 'delegation.revoked', 'delegation.refused'])
  })

  it('are not given out when they end while the token is made', async () => {
    const making = issue()
    const [delegation] = delegations.open
    assert.ok(delegation)
    delegations.revoke(by, delegation.id)
    assert.equal(await refusal(making), 'unfit: revoked by parent')
    assert.equal(ended, 1)
  })

  it('are not given out when the manifest changes while the token is made', async () => {
    const making = issue()
    configuration = configurationOf('suspend: true, delegation: {maxDepth: 2}')
    delegations.configurationChanged()
    assert.equal(await refusal(making), 'unfit: default/parent is suspended')
  })

  it('are asked for only so often, and are only so many', async () => {
    const results = await Promise.all(Array.from({ length: 121 }, () => refusal(issue())))
    assert.equal(results.filter((result) => result === 'issued').length, 120)
    assert.equal(results.at(-1), 'full: default/parent has asked more than 120 times in a minute')
    clock.pass(61_000)
    for (let more = 0; more < 8; more++) assert.equal(await refusal(issue()), 'issued')
    assert.equal(
      await refusal(issue()),
      'full: default/parent has 128 open delegations, and more are not possible now',
    )
    clock.pass(10 * 60_000)
    delegations.tick()
    assert.equal(delegations.open.size, 0)
    assert.equal(await refusal(issue()), 'issued')
  })

  it('are not given out with a token that no password has room for', async () => {
    const objects = Array.from({ length: 32 }, (_, index) => `${index}${'x'.repeat(500)}`)
    assert.match(await refusal(issue({ objects })), /^unfit: its token would have \d+ characters/)
    assert.equal(delegations.open.size, 0)
  })

  it('end with all below them, and with nothing beside them', async () => {
    const [one, other] = [await issue(), await issue()]
    assert.ok(one.ok && other.ok)
    const below = await issue({}, { kind: 'child', delegation: one.value.delegation })
    assert.ok(below.ok)
    assert.ok(delegations.revoke(by, one.value.delegation.id))
    assert.ok(!delegations.revoke(by, one.value.delegation.id))
    const left = await Promise.all([one, other, below].map(({ value }) => delegations.prove(value.token)))
    assert.deepEqual(
      left.map(({ ok }) => ok),
      [false, true, false],
    )
  })

  it('are ended by nobody who stands below them', async () => {
    const one = await issue()
    assert.ok(one.ok)
    const child = { kind: 'child', delegation: one.value.delegation } as const
    assert.ok(!delegations.revoke(child, one.value.delegation.id))
    assert.deepEqual(delegations.open.below(child), [])
  })

  it('keep their tokens from the other process', async () => {
    const issued = await issue()
    assert.ok(issued.ok)
    const other = new Delegations({
      configuration: () => configuration,
      identities: { renewed: (proof) => ({ ok: true, value: proof }) },
      clock,
      notice: () => {},
      ended: () => {},
    })
    const proof = await other.prove(issued.value.token)
    assert.ok(!proof.ok)
    assert.equal(proof.error.misuse, 'otherSidecar')
  })

  it('end when the token does, by the clock of the machine', async () => {
    const issued = await issue({ for: '1m' })
    assert.ok(issued.ok)
    clock.jump(61_000)
    const proof = await delegations.prove(issued.value.token)
    assert.equal(!proof.ok && proof.error.message, 'the delegation has expired')
  })
})

import assert from 'node:assert/strict'
import type { ProtectedResource } from '@firebreak/crds'
import { ManualClock } from '../../../test/manual-clock.ts'
import { Destinations } from './destinations.ts'

const resource = (name: string, address: string): ProtectedResource =>
  ({ metadata: { name, namespace: 'agents' }, spec: { address } }) as unknown as ProtectedResource

const resources = [
  resource('by-name', 'Orders-db.data.svc:5432'),
  resource('by-address', '10.0.0.9:5432'),
  resource('by-ipv6', '[2001:DB8::9]:5432'),
  resource('shared-a', '10.0.0.20:5432'),
  resource('shared-b', '10.0.0.20:5432'),
  resource('shared-c', '10.0.0.20:5433'),
]

describe('the destination of a captured connection', () => {
  let clock: ManualClock
  let found: Readonly<Record<string, readonly string[]>>
  let destinations: Destinations

  beforeEach(async () => {
    clock = new ManualClock()
    found = { 'orders-db.data.svc': ['10.0.0.5', '2001:db8:0::5'] }
    destinations = new Destinations(
      () => resources,
      clock,
      async (host) => found[host] ?? Promise.reject(new Error('no such name')),
    )
    await destinations.tick()
  })

  const at = (address: string, port: number): string => {
    const destination = destinations.find({ address, port })
    return destination.kind === 'resource' ? destination.resource.metadata.name : destination.reason
  }

  const cases = [
    ['10.0.0.5', 5432, /^by-name$/],
    ['2001:db8::5', 5432, /^by-name$/],
    ['10.0.0.9', 5432, /^by-address$/],
    ['2001:db8::9', 5432, /^by-ipv6$/],
    ['10.0.0.5', 22, /another port of what is protected as by-name/],
    ['10.0.0.20', 5432, /several protected resources are there: shared-a, shared-b/],
    ['10.0.0.20', 5433, /^shared-c$/],
    ['10.0.0.6', 5432, /not listed/],
    ['169.254.169.254', 80, /not listed/],
  ] as const
  for (const [address, port, expected] of cases)
    it(`${address} port ${port}: ${expected.source}`, () => assert.match(at(address, port), expected))

  it('follows a name that moves, and keeps for a while where it was', async () => {
    found = { 'orders-db.data.svc': ['10.0.0.6'] }
    await destinations.tick()
    assert.match(at('10.0.0.6', 5432), /not listed/, 'names are not looked up at every turn')
    clock.pass(5_001)
    await destinations.tick()
    assert.equal(at('10.0.0.6', 5432), 'by-name')
    assert.equal(at('10.0.0.5', 5432), 'by-name')
    clock.pass(10 * 60_000)
    await destinations.tick()
    assert.equal(at('10.0.0.6', 5432), 'by-name')
    assert.match(at('10.0.0.5', 5432), /not listed/)
  })

  it('keeps an address while the name can not be looked up', async () => {
    found = {}
    clock.pass(5_001)
    await destinations.tick()
    assert.equal(at('10.0.0.5', 5432), 'by-name')
  })

  it('knows at once what the agent itself was told', () => {
    destinations.note('ORDERS-DB.data.svc', ['10.0.0.7'])
    destinations.note('evil.example', ['10.0.0.66'])
    assert.equal(at('10.0.0.7', 5432), 'by-name')
    assert.match(at('10.0.0.66', 5432), /not listed/)
    assert.ok(destinations.isKnown('10.0.0.7') && !destinations.isKnown('10.0.0.66'))
  })
})

import assert from 'node:assert/strict'
import { fromBinary } from '@bufbuild/protobuf'
import type { AgentIdentity } from '@firebreak/crds'
import { typeUrls } from '@firebreak/xds'
import { ListenerSchema } from '../../xds/generated/envoy/config/listener/v3/listener_pb.js'
import { addressRange } from './address-range.ts'
import { envoyResources } from './envoy.ts'
import { HostAddresses } from './host-addresses.ts'

const ranges: readonly (readonly [string, string | undefined])[] = [
  ['10.2.3.4/16', '10.2.0.0/16'],
  ['10.2.3.4/32', '10.2.3.4/32'],
  ['10.255.255.255/9', '10.128.0.0/9'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['2001:DB8::1/32', '2001:db8::/32'],
  ['fd00:1:2:3:4:5:6:7/60', 'fd00:1:2::/60'],
  ['::1/128', '::1/128'],
  ['::/0', '::/0'],
  ['10.0.0.0/33', undefined],
  ['10.0.0/8', undefined],
  ['10.0.0.0', undefined],
  ['10.0.0.0/', undefined],
  ['db.example.com/32', undefined],
]

describe('an address range', () => {
  for (const [text, wanted] of ranges)
    it(`${text} is ${wanted ?? 'none'}`, () => {
      const range = addressRange(text)
      assert.equal(range && `${range.addressPrefix}/${range.prefixLen}`, wanted)
    })
})

describe("an agent's Envoy", () => {
  const chainsFor = (egress: readonly object[], ...addresses: string[]): string[] => {
    const identity = { spec: { egress } } as unknown as AgentIdentity
    const listener = envoyResources(identity, addresses, '/run').get(typeUrls.listener)?.get('capture')
    const { filterChains, defaultFilterChain } = fromBinary(
      ListenerSchema,
      listener?.packed.value ?? new Uint8Array(),
    )
    assert.equal(defaultFilterChain?.filters.length, 1)
    return filterChains.map(
      ({ name, filterChainMatch }) =>
        `${name} [${filterChainMatch?.prefixRanges.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`).join(' ')}] ${filterChainMatch?.serverNames.join()}`,
    )
  }

  it('hands everything to the enforcer where nothing is open', () => {
    assert.deepEqual(chainsFor([], '10.1.1.1'), [])
  })

  it('opens a host by its name, in any spelling, once', () => {
    const egress = [
      { host: 'API.example.com', port: 443 },
      { host: 'api.example.com', port: 443 },
    ]
    assert.deepEqual(chainsFor(egress), [
      'guarded:443 [127.0.0.0/8 ::1/128] ',
      'api.example.com:443 [] api.example.com',
    ])
  })

  it('opens no range while it is not known what has to be guarded in it', () => {
    const identity = { spec: { egress: [{ cidr: '10.0.0.0/8', port: 8000 }] } } as unknown as AgentIdentity
    const clusters = envoyResources(identity, undefined, '/run').get(typeUrls.cluster)
    assert.deepEqual([...(clusters?.keys() ?? [])], ['enforcer'])
  })

  it('guards protected addresses and its own within an open range', () => {
    const egress = [
      { cidr: '10.1.0.0/16', port: 8000 },
      { cidr: '10.1.2.3/16', port: 8000 },
      { cidr: '10.1.1.1/32', port: 8000 },
      { cidr: '127.0.0.1/32', port: 8000 },
    ]
    assert.deepEqual(chainsFor(egress, '10.1.1.1', 'FD00::1'), [
      'guarded:8000 [127.0.0.0/8 ::1/128 10.1.1.1/32 fd00::1/128] ',
      '10.1.0.0/16:8000 [10.1.0.0/16] ',
    ])
  })
})

describe('addresses of a host', () => {
  it('are known a while after the name has moved', async () => {
    let now = 0
    let found = ['10.0.0.1']
    let changes = 0
    const look = async (): Promise<string[]> => found
    using hosts = new HostAddresses(
      () => changes++,
      look,
      () => now,
    )
    assert.equal(hosts.of(['db']), undefined)
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([changes, hosts.of(['db'])], [1, ['10.0.0.1']])
    found = ['10.0.0.2']
    await hosts.refresh()
    assert.deepEqual([changes, hosts.of(['db'])], [2, ['10.0.0.1', '10.0.0.2']])
    await hosts.refresh()
    now = 11 * 60_000
    await hosts.refresh()
    assert.deepEqual([changes, hosts.of(['db'])], [3, ['10.0.0.2']])
    found = []
    await hosts.refresh()
    assert.deepEqual(hosts.of(['db']), ['10.0.0.2'], 'a name that is not found keeps what it had')
  })
})

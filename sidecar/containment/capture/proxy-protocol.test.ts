import assert from 'node:assert/strict'
import fc from 'fast-check'
import { canonicalAddress, readProxyHeader } from './proxy-protocol.ts'

const signature = '0d0a0d0a000d0a515549540a'
/** From 10.1.2.3:40000 to 10.9.8.7:5432. */
const ipv4 = '0a010203' + '0a090807' + '9c40' + '1538'
const ipv6 = `${'20010db8'.padEnd(30, '0')}01${'20010db8'.padEnd(30, '0')}029c401538`
const mapped = `${'0'.repeat(20)}ffff0a010203${'0'.repeat(20)}ffff0a0908079c401538`

const header = (start: string, content: string): Buffer => {
  const length = (content.length / 2).toString(16).padStart(4, '0')
  return Buffer.from(signature + start + length + content, 'hex')
}

const cases: readonly (readonly [name: string, bytes: Buffer, expected: string])[] = [
  ['IPv4', header('2111', ipv4), '10.9.8.7 5432'],
  ['IPv6', header('2121', ipv6), '2001:db8::2 5432'],
  ['IPv4 mapped into IPv6', header('2121', mapped), '10.9.8.7 5432'],
  ['lists behind the addresses', header('2111', `${ipv4}040002abcd020000`), '10.9.8.7 5432'],
  ["the proxy's own connection", header('2000', ''), 'local'],
  ["the proxy's own connection with addresses", header('2011', ipv4), 'local'],
  ['nothing yet', Buffer.alloc(0), 'incomplete'],
  ['a part of the signature', Buffer.from(signature.slice(0, 6), 'hex'), 'incomplete'],
  ['addresses still to come', header('2111', ipv4).subarray(0, 20), 'incomplete'],
  ['version 1', Buffer.from('PROXY TCP4 10.1.2.3 10.9.8.7 40000 5432\r\n'), 'invalid'],
  ['another version', header('3111', ipv4), 'invalid'],
  ['another command', header('2211', ipv4), 'invalid'],
  ['no family', header('2100', ''), 'invalid'],
  ['UDP', header('2112', ipv4), 'invalid'],
  ['a Unix socket', header('2131', '00'.repeat(216)), 'invalid'],
  ['addresses that are cut off by the length', header('2111', ipv4.slice(0, 22)), 'invalid'],
  ['IPv4 called IPv6', header('2121', ipv4), 'invalid'],
  ['a list that ends within a length', header('2111', `${ipv4}0400`), 'invalid'],
  ['a list that is longer than the header', header('2111', `${ipv4}04ffffab`), 'invalid'],
  ['a length that nobody needs', header('2111', '00'.repeat(2_100)), 'invalid'],
  ['a length that nobody needs, at once', header('2111', '00'.repeat(60_000)).subarray(0, 16), 'invalid'],
]

describe('the PROXY protocol', () => {
  for (const [name, bytes, expected] of cases)
    it(`reads ${name}`, () => {
      const read = readProxyHeader(bytes)
      if (read.kind !== 'proxied') assert.equal(read.kind, expected)
      else assert.equal(`${read.destination.address} ${read.destination.port}`, expected)
      if ('length' in read) assert.equal(read.length, bytes.length)
    })

  it('tells the source as well, and leaves what follows', () => {
    const read = readProxyHeader(Buffer.concat([header('2111', ipv4), Buffer.from('the client speaks')]))
    assert.ok(read.kind === 'proxied')
    assert.deepEqual(read.source, { address: '10.1.2.3', port: 40_000 })
    assert.equal(read.length, 28)
  })

  it('comes to the same however the bytes are cut', () => {
    const whole = header('2121', `${ipv6}040002abcd`)
    for (let length = 0; length < whole.length; length++)
      assert.equal(readProxyHeader(whole.subarray(0, length)).kind, 'incomplete')
  })

  it('never throws, and never reads past the header, whatever comes', () => {
    const noise = fc.uint8Array({ maxLength: 300 })
    const near = fc
      .tuple(
        fc.constantFrom('2111', '2121', '2000', '2131', '2f11'),
        fc.integer({ min: 0, max: 0xffff }),
        noise,
      )
      .map(([start, length, rest]) => {
        const bytes = Buffer.concat([Buffer.from(`${signature}${start}0000`, 'hex'), rest])
        bytes.writeUInt16BE(length, 14)
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(noise.map(Buffer.from), near), (bytes) => {
        const read = readProxyHeader(Buffer.from(bytes))
        if ('length' in read) assert.ok(read.length <= bytes.length)
      }),
      { numRuns: 2_000 },
    )
  })

  const addresses = [
    ['10.0.0.1', '10.0.0.1'],
    ['::FFFF:10.0.0.1', '10.0.0.1'],
    ['::ffff:0a00:0001', '10.0.0.1'],
    ['2001:0DB8:0:0::0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
  ] as const
  for (const [written, usual] of addresses)
    it(`knows ${written} as ${usual}`, () => assert.equal(canonicalAddress(written), usual))
})

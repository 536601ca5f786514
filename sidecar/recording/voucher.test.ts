import assert from 'node:assert/strict'
import type { QualifiedName } from '@firebreak/policy'
import { decodeHeader, nameOfSigner, type RecordingHeader } from './header.ts'
import { newSigner } from './testdata/recordings.ts'
import { isTrusted, type Voucher, vouch } from './voucher.ts'

const authority = newSigner()
const signer = newSigner()
const trusted = [nameOfSigner(authority)]

function header(changes: Partial<RecordingHeader>): RecordingHeader {
  return {
    recording: '01ABCDEFGH0123456789ABCDEF',
    startedAt: new Date(0).toISOString(),
    protocol: 'postgresql',
    identity: 'agents/worker',
    chain: ['agents/worker'],
    resource: 'agents/orders',
    role: 'reader',
    keepSeconds: 3600,
    signer: nameOfSigner(signer),
    voucher: vouch(authority, nameOfSigner(signer), 'agents/worker'),
    recipients: [],
    key: '',
    ...changes,
  }
}

const vouchedFor = (agent: QualifiedName, changes: Partial<Voucher> = {}): Voucher => ({
  ...vouch(authority, nameOfSigner(signer), agent),
  ...changes,
})

describe('a key that is vouched for', () => {
  it("signs recordings of its agent's sessions, also of those that it delegated", () => {
    assert.ok(isTrusted(header({}), trusted))
    assert.ok(
      isTrusted(header({ identity: 'agents/child', chain: ['agents/worker', 'agents/child'] }), trusted),
    )
  })

  const forgeries: Readonly<Record<string, Partial<RecordingHeader>>> = {
    "another agent's session": { identity: 'agents/other', chain: ['agents/other'] },
    'a session whose voucher names another agent than it was made for': {
      identity: 'agents/other',
      chain: ['agents/other'],
      voucher: vouchedFor('agents/worker', { agent: 'agents/other' }),
    },
    'a key that nobody vouched for': { voucher: undefined },
    'another key with the voucher of this one': { signer: nameOfSigner(newSigner()) },
    'a voucher by an authority of its own': { voucher: vouch(signer, nameOfSigner(signer), 'agents/worker') },
    'a voucher that only names the authority': {
      voucher: {
        ...vouch(signer, nameOfSigner(signer), 'agents/worker'),
        authority: nameOfSigner(authority),
      },
    },
    'a voucher without a signature': { voucher: vouchedFor('agents/worker', { signature: '' }) },
    'names that are shifted from the key into the agent': {
      voucher: vouch(authority, `${nameOfSigner(signer)}\0agents`, 'worker' as QualifiedName),
    },
  }
  for (const [name, changes] of Object.entries(forgeries))
    it(`doesn't sign ${name}`, () => {
      assert.equal(isTrusted(header(changes), trusted), false)
    })

  for (const [name, changes] of Object.entries({
    'a voucher with a signature that is no text': {
      voucher: { ...vouchedFor('agents/worker'), signature: 7 },
    },
    'a voucher that is none': { voucher: null },
    'a chain that is none': { chain: undefined },
    'a chain of something else': { chain: [['agents/worker']] },
  }))
    it(`isn't looked at in a header with ${name}`, () => {
      const text = JSON.stringify({ ...header({}), ...changes })
      assert.equal(decodeHeader(Buffer.from(text)), 'the header is not what it should be')
    })
})

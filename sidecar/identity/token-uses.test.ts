import assert from 'node:assert/strict'
import type { VerifiedClaims } from './proof.ts'
import { TokenUses } from './token-uses.ts'

const token = (tokenId?: string, issuer = 'https://id.example'): VerifiedClaims => ({
  issuer,
  subject: 'bot',
  audience: [],
  issuedAt: 0,
  expiresAt: 0,
  all: {},
  ...(tokenId !== undefined && { tokenId }),
})

describe('uses of tokens', () => {
  it('are ordinary from one place, and told when they come from another', () => {
    const uses = new TokenUses()
    assert.equal(uses.used(token('a'), '10.0.0.1'), undefined)
    assert.equal(uses.used(token('a'), '10.0.0.1'), undefined)
    assert.equal(uses.used(token('b'), '10.0.0.2'), undefined)
    assert.equal(uses.used(token('a'), '10.0.0.2'), '10.0.0.1')
    assert.equal(uses.used(token('a'), '10.0.0.2'), undefined)
  })

  it('of another issuer are of another token', () => {
    const uses = new TokenUses()
    uses.used(token('a'), '10.0.0.1')
    assert.equal(uses.used(token('a', 'https://other.example'), '10.0.0.2'), undefined)
    uses.used(token(), '10.0.0.1')
    assert.equal(uses.used(token(), '10.0.0.2'), undefined)
  })

  it('take no more memory than they may', () => {
    const uses = new TokenUses()
    for (let n = 0; n < 20_000; n++) uses.used(token(`t${n}`), '10.0.0.1')
    assert.equal(uses.used(token('t0'), '10.0.0.2'), undefined)
    assert.equal(uses.used(token('t19999'), '10.0.0.2'), '10.0.0.1')
  })
})

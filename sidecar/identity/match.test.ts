import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { AgentIdentity } from '@firebreak/crds'
import fc from 'fast-check'
import { parse } from 'yaml'
import { inspectToken, isSignedToken, repeatsNames } from './inspect.ts'
import { matchIdentity } from './match.ts'

interface Case {
  readonly name: string
  readonly oidc?: Readonly<Record<string, unknown>>
  readonly kubernetes?: Readonly<Record<string, unknown>>
  readonly serviceAccounts?: string[]
  readonly claims?: Readonly<Record<string, unknown>>
  readonly subject?: string
  readonly issuedAgo?: number
  readonly groups?: readonly string[]
  readonly problem?: string
}

const cases = parse(readFileSync(new URL('match.test.yaml', import.meta.url), 'utf8')) as Case[]
const now = Date.parse('2026-01-01T00:00:00Z')
const rules = { issuer: 'https://id.example', audience: 'firebreak', maxTokenAge: '24h' }

function identityOf({ oidc, kubernetes, serviceAccounts }: Case): AgentIdentity {
  const authentication = oidc
    ? { oidc: { ...rules, groupsClaim: 'groups', ...oidc } }
    : { kubernetes: { ...rules, ...kubernetes } }
  return {
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'AgentIdentity',
    metadata: { name: 'bot', namespace: 'agents' },
    spec: {
      authentication,
      groups: ['own'],
      session: { maxDuration: '1h', idleTimeout: '15m' },
      suspend: false,
      ...(serviceAccounts && { workload: { serviceAccounts } }),
    },
  }
}

describe('a token and an identity', () => {
  for (const example of cases) {
    it(`${example.name}: ${example.problem ?? 'fits'}`, () => {
      const claims = {
        issuer: rules.issuer,
        subject: example.subject ?? 'bot',
        audience: ['firebreak'],
        issuedAt: now - (example.issuedAgo ?? 5) * 1000,
        expiresAt: now + 600_000,
        all: example.claims ?? {},
      }
      const result = matchIdentity(claims, identityOf(example), now)
      if (example.problem === undefined) assert.deepEqual(result, { ok: true, value: example.groups })
      else assert.equal(!result.ok && result.error.misuse, example.problem)
    })
  }
})

describe('an unverified token', () => {
  it('is read or refused, whatever its bytes', () => {
    const part = fc.oneof(
      fc.base64String(),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64url')),
    )
    fc.assert(
      fc.property(fc.tuple(part, part, part), (parts) => {
        const text = parts.join('.')
        if (isSignedToken(text)) inspectToken(text)
      }),
    )
  })

  it('has no member twice, however it is written', () => {
    assert.equal(repeatsNames('{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}'), false)
    assert.equal(repeatsNames('{"a":"\\"b\\":1,{","b":2}'), false)
    assert.equal(repeatsNames('{"a":1 , "\\u0061" : 2}'), true)
    assert.equal(repeatsNames('{"x":{"a":[{}],"a":2}}'), true)
    assert.equal(repeatsNames('{"":1,"":2}'), true)
    // what JSON.stringify writes never repeats a name
    fc.assert(fc.property(fc.jsonValue(), (value) => !repeatsNames(JSON.stringify(value))))
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), (members, name) => {
        const doubled = `{${[...Object.entries(members), [name, 1], [name, 2]]
          .map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`)
          .join(',\n')}}`
        return repeatsNames(doubled)
      }),
    )
  })
})

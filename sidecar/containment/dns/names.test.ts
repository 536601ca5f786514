import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { parse } from 'yaml'
import { judge, type NameRules } from './names.ts'

type Case = Readonly<{ name: string }> & Readonly<Record<string, readonly string[] | string>>
const cases = parse(readFileSync(new URL('names.test.yaml', import.meta.url), 'utf8')) as Case[]

const rules: NameRules = {
  isListed: (name) => ['orders-db.data.svc', 'cache', 'api.example'].includes(name),
  isKnownAddress: (address) => ['10.0.0.5', '2001:db8::5'].includes(address),
  searchDomains: ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
  namespace: 'agents',
}

describe('names that an agent may ask for', () => {
  for (const { name, ...expected } of cases)
    for (const [verdict, types] of Object.entries(expected))
      for (const type of types)
        it(`${name} ${type}: ${verdict}`, () => {
          const judged = judge(name, type, rules)
          const words =
            judged.kind === 'refused'
              ? judged.reason
              : judged.kind === 'ask' && judged.unlisted
                ? 'unlisted'
                : judged.kind
          assert.ok(words === verdict || (judged.kind === 'refused' && words.includes(verdict)), words)
        })

  it('are few: whatever else stands in a name, it is refused or counted', () => {
    const label = fc.stringMatching(/^[a-z0-9-]{1,20}$/)
    const end = fc.constantFrom(
      'api.example',
      'orders-db.data.svc',
      'svc.cluster.local',
      'evil.example',
      'cluster.local',
    )
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), end, (labels, suffix) => {
        const judged = judge([...labels, suffix].join('.'), 'A', rules)
        if (judged.kind === 'ask' && !judged.unlisted)
          assert.ok(
            ['cache', 'orders-db.data', 'orders-db.data.svc', 'api.example'].includes(labels.join('.')),
          )
      }),
    )
  })
})

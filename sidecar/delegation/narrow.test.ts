import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Scope } from '@firebreak/policy'
import { parse } from 'yaml'
import { type Holder, narrow, type ScopeAsk } from './narrow.ts'

interface Case {
  readonly name: string
  readonly given?: Scope
  readonly asked?: ScopeAsk
  readonly says?: string
}

const { within, beyond } = parse(readFileSync(new URL('narrow.test.yaml', import.meta.url), 'utf8')) as {
  within: Case[]
  beyond: Case[]
}

const holders: readonly Holder[] = [
  {
    identity: 'agents/parent',
    access: [
      { resource: 'agents/shop', roles: ['reader', 'writer'] },
      { resource: 'agents/stock', roles: ['clerk'] },
    ],
  },
  {
    identity: 'agents/child',
    access: [
      { resource: 'agents/shop', roles: ['reader'] },
      { resource: 'agents/stock', roles: ['clerk'] },
    ],
  },
]

describe('a parent', () => {
  for (const { name, given = {}, asked = {} } of within)
    it(`can pass on ${name}`, () => {
      const scope = narrow(asked, given, holders, 'agents')
      assert.ok(scope.ok, scope.ok ? '' : scope.error)
    })

  for (const { name, given = {}, asked = {}, says = '' } of beyond)
    it(`can't pass on ${name}`, () => {
      const scope = narrow(asked, given, holders, 'agents')
      assert.ok(!scope.ok, JSON.stringify(scope))
      assert.ok(scope.error.includes(says), scope.error)
    })

  it('passes on what it was given itself where nothing else is asked', () => {
    const given: Scope = { actions: ['sql:*'], objects: ['public.*'], limits: { rowsPerCommand: 9 } }
    const first = narrow({ actions: ['sql:select'], limits: { rowsPerHour: 5 } }, given, holders, 'agents')
    assert.deepEqual(first.ok && first.value, {
      actions: ['sql:select'],
      objects: ['public.*'],
      limits: { rowsPerCommand: 9, rowsPerHour: 5 },
    })
  })
})

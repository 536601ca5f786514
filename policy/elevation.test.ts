import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { ElevationOffer } from './decision.ts'
import { type ElevationAsk, findOffer } from './elevation.ts'
import { compileGlob, globCovers, globsMeet, nameCovers } from './names.ts'

const rule = { policy: 'default/guard', rule: 'cleanup' } as const
const offer: ElevationOffer = {
  rule,
  roles: ['maintainer'],
  actions: ['sql:delete', 'sql:alter*'],
  objects: ['public.carts', 'logs.*', 'table "odd.name".x'],
  maxDuration: '1h',
  requirement: { rule, groups: ['dba'], quorum: 1 },
  expiresAfterSeconds: 900,
  breakGlass: false,
}

const table: readonly [says: string, ask: Partial<ElevationAsk>, covered: boolean][] = [
  ['one of its actions', { actions: ['sql:delete'] }, true],
  ['a narrower pattern', { actions: ['sql:alter-table*'] }, true],
  ['a wider pattern', { actions: ['sql:*'] }, false],
  ['everything', { actions: ['*'] }, false],
  ['another action beside', { actions: ['sql:delete', 'sql:drop'] }, false],
  ['another case', { actions: ['SQL:DELETE'] }, false],
  ['its role', { role: 'maintainer' }, true],
  ['another role', { role: 'owner' }, false],
  ['one of its objects', { actions: ['sql:delete'], objects: ['public.carts'] }, true],
  ['a part of it', { actions: ['sql:delete'], objects: ['public.carts.note'] }, true],
  ['what is around it', { actions: ['sql:delete'], objects: ['public'] }, false],
  ['a wildcard over it', { actions: ['sql:delete'], objects: ['public.*'] }, false],
  ['all objects', { actions: ['sql:delete'], objects: ['*'] }, false],
  ['all of a schema that is offered', { actions: ['sql:delete'], objects: ['logs.*'] }, true],
  ['a wildcard for the schema', { actions: ['sql:delete'], objects: ['*.carts'] }, false],
  ['a dot inside quotes', { actions: ['sql:delete'], objects: ['"public.carts"'] }, false],
  ['a kind that is offered', { actions: ['sql:delete'], objects: ['table "odd.name".x'] }, true],
  ['more than a kind', { actions: ['sql:delete'], objects: ['"odd.name".x'] }, false],
  ['as long as may be', { actions: ['sql:delete'], duration: '60m' }, true],
  ['longer than may be', { actions: ['sql:delete'], duration: '61m' }, false],
]

describe('elevations', () => {
  for (const [says, ask, covered] of table)
    it(`${covered ? 'can' : 'can not'} be asked for: ${says}`, () => {
      assert.equal(findOffer([offer], { duration: '10m', ...ask }, false), covered ? offer : undefined)
    })

  it('are an emergency only when one is meant', () => {
    const glass = { ...offer, breakGlass: true }
    const ask = { actions: ['sql:delete'], duration: '10m' }
    assert.equal(findOffer([offer, glass], ask, false), offer)
    assert.equal(findOffer([offer, glass], ask, true), glass)
    assert.equal(findOffer([glass], ask, false), undefined)
  })

  it('are compared by patterns that cover all that the other matches', () => {
    const globs = fc.string({ unit: fc.constantFrom('a', 'b', '*', ':'), maxLength: 6 })
    fc.assert(
      fc.property(
        globs,
        globs,
        fc.string({ unit: fc.constantFrom('a', 'b', ':'), maxLength: 6 }),
        (a, b, text) => {
          if (globCovers(a, b) && compileGlob(b)(text)) assert.ok(compileGlob(a)(text))
          if (compileGlob(a)(text) && compileGlob(b)(text)) assert.ok(globsMeet(a, b))
          if (!b.includes('*')) assert.equal(globsMeet(a, b), compileGlob(a)(b))
        },
      ),
      { numRuns: 2_000 },
    )
    assert.ok(!globsMeet('a*b', '*c'))
    assert.ok(nameCovers('**', 'public.*'))
    assert.ok(!nameCovers('public.carts', '*'))
  })
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ProtectedResource } from '@firebreak/crds'
import { parse } from 'yaml'
import { Classification } from './classification.ts'
import { everyName, type Touch } from './command.ts'
import { compileRule, coversTouch, matchesSource, matchTouch } from './rule.ts'

interface Case {
  readonly pattern: string
  readonly path: readonly string[]
  readonly deny: boolean
  readonly allow: boolean
}

/** `*` stands for whatever there is. */
const named = (path: readonly string[]): string[] => path.map((name) => (name === '*' ? everyName : name))
const cases = parse(readFileSync(new URL('every-name.test.yaml', import.meta.url), 'utf8')) as Case[]
const nothingKnown = new Classification(undefined)

describe('touches of whatever there is', () => {
  for (const { pattern, path, deny, allow } of cases)
    it(`${pattern} and ${path.join('.')}`, () => {
      const touch: Touch = {
        action: 'k8s:list',
        object: { kind: 'object', path: named(path) },
        origin: 'direct',
      }
      const rule = (effect: 'allow' | 'deny') =>
        compileRule('default/p', { name: 'r', effect, match: { objects: [pattern] } })
      assert.equal(matchTouch(rule('deny'), touch, nothingKnown) !== 'none', deny)
      assert.equal(coversTouch(rule('allow'), touch, nothingKnown) !== 'none', allow)
    })

  it('carry the tags of all of it, and so do its fields', () => {
    const resource = { spec: { classification: [{ tags: ['secret'], fields: ['prod.secrets.db.data'] }] } }
    const classification = new Classification(resource as unknown as ProtectedResource)
    const rule = compileRule('default/p', { name: 'r', effect: 'deny', match: { tags: ['secret'] } })
    const path = named(['*', 'secrets', '*'])
    const touch: Touch = { action: 'k8s:list', object: { kind: 'object', path }, origin: 'direct' }
    assert.equal(matchTouch(rule, touch, classification), 'all')
    assert.ok(matchesSource(rule, { path: [...path, 'data'], part: 'password' }, classification))
    assert.ok(matchesSource(rule, { path: [...path, 'data'], part: everyName }, classification))
    assert.ok(!matchesSource(rule, { path: [...path, 'metadata'], part: 'name' }, classification))
  })
})

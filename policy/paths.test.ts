import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { Classification } from './classification.ts'
import type { Touch } from './command.ts'
import { describeTouch } from './describe.ts'
import { nameCovers } from './names.ts'
import { compileRule, coversTouch, matchTouch } from './rule.ts'

interface Case {
  readonly pattern: string
  readonly path: readonly string[]
  readonly deny: boolean
  readonly allow: boolean
}

const cases = parse(readFileSync(new URL('paths.test.yaml', import.meta.url), 'utf8')) as Case[]
const nothingKnown = new Classification(undefined)

describe('patterns of paths', () => {
  for (const { pattern, path, deny, allow } of cases)
    it(`${pattern} and /${path.join('/')}`, () => {
      const touch: Touch = { action: 'http:read', object: { kind: 'path', path }, origin: 'direct' }
      const rule = (effect: 'allow' | 'deny') =>
        compileRule('default/p', { name: 'r', effect, match: { objects: [pattern] } })
      assert.equal(matchTouch(rule('deny'), touch, nothingKnown) !== 'none', deny)
      assert.equal(coversTouch(rule('allow'), touch, nothingKnown) !== 'none', allow)
    })

  it('are about paths alone', () => {
    const table: Touch = {
      action: 'sql:select',
      object: { kind: 'table', path: ['users', '42'] },
      origin: 'direct',
    }
    const rule = compileRule('default/p', { name: 'r', effect: 'deny', match: { objects: ['/users'] } })
    assert.equal(matchTouch(rule, table, nothingKnown), 'none')
    assert.ok(!nameCovers('/users', 'users'))
    assert.ok(nameCovers('/users', '/users/42'))
    assert.ok(nameCovers('*', '/users/42'))
  })

  it('match a touch by each of its names', () => {
    const touch: Touch = {
      action: 'http:write',
      also: ['openapi:createUser'],
      object: { kind: 'path', path: ['users'] },
      origin: 'direct',
    }
    for (const action of ['http:write', 'openapi:create*'])
      assert.notEqual(
        coversTouch(
          compileRule('default/p', { name: 'r', effect: 'allow', match: { actions: [action] } }),
          touch,
          nothingKnown,
        ),
        'none',
      )
    assert.equal(describeTouch(touch), 'http:write on path /users')
  })
})

import assert from 'node:assert/strict'
import { anyRequest } from '../bodies/testing.ts'
import { BodyFieldsAnalysis } from './body-fields.ts'
import { HttpMeaning } from './meaning.ts'

const meaning = new HttpMeaning([new BodyFieldsAnalysis()])
const commandOf = (type: string, body: string) =>
  meaning.commandOf(
    { ...anyRequest, method: 'POST', headers: [['content-type', type]], body: Buffer.from(body) },
    false,
  )

describe('fields of a request’s body, as conditions see them', () => {
  it('are paths and values', () => {
    const { facts, opaque } = commandOf(
      'application/json',
      '{"user":{"role":"admin","tags":["a","b"]},"n":1}',
    )
    assert.deepEqual(opaque, [])
    assert.deepEqual(facts.body, {
      fields: ['user.role=admin', 'user.tags=a', 'user.tags=b', 'n=1'],
      names: ['user.role', 'user.tags', 'n'],
    })
  })

  it('are none where there is no body', () => {
    const head = { ...anyRequest, method: 'GET' }
    assert.ok(meaning.needs(head) > 0)
    assert.deepEqual(meaning.commandOf(head, false).facts.body, { fields: [], names: [] })
  })

  for (const [name, type, body] of [
    ['names a field twice', 'application/json', '{"role":"user","role":"admin"}'],
    ['is of a type that isn’t known', 'application/x-yaml', 'role: admin'],
    ['is no text', 'application/json; charset=utf-16', '{}'],
  ] as const)
    it(`make a request opaque whose body ${name}`, () => {
      assert.equal(commandOf(type, body).opaque.length, 1)
    })
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Touch } from '@firebreak/policy'
import fc from 'fast-check'
import { parse } from 'yaml'
import { anyRequest, bodyTerms, cutAt, runMask } from '../../bodies/testing.ts'
import type { HttpRequest } from '../../request.ts'
import { GraphqlAnalysis } from './analysis.ts'
import { openGraphqlMask } from './answer.ts'

interface Case {
  readonly name: string
  readonly method?: string
  readonly type?: string
  readonly encoding?: string
  readonly query?: string
  readonly operationName?: string
  readonly body_variables?: unknown
  readonly body?: string
  readonly parameters?: Record<string, string>
  readonly pairs?: readonly (readonly [string, string])[]
  readonly does?: readonly string[]
  readonly opaque?: string
  readonly uses?: readonly string[]
  readonly facts?: unknown
}

const cases = parse(readFileSync(new URL('graphql.test.yaml', import.meta.url), 'utf8')) as Case[]
const analysis = new GraphqlAnalysis(['/graphql'])

function requestOf(one: Partial<Case>): HttpRequest {
  const { method = 'POST', type = 'application/json', query, operationName, body_variables: variables } = one
  const pairs = one.pairs ?? Object.entries(one.parameters ?? {})
  const body = one.body ?? JSON.stringify({ query, operationName, variables })
  return {
    ...anyRequest,
    method,
    path: { text: '/graphql', segments: ['graphql'], otherReadings: [] },
    parameters: pairs.map(([name, value]) => ({ name, value })),
    headers: [
      ...(method === 'GET' ? [] : [['content-type', type] as const]),
      ...(one.encoding === undefined ? [] : [['content-encoding', one.encoding] as const]),
    ],
    ...((method !== 'GET' || one.body !== undefined) && { body: Buffer.from(body) }),
  }
}

function shown({ action, object: { path, parts }, origin }: Touch): string {
  const about = `${action} ${path.join('.')} [${(parts ?? []).join(', ')}]`
  return origin === 'direct' ? about : `${about} ${origin}`
}

describe('GraphQL', function () {
  this.timeout(60_000)

  for (const one of cases)
    it(`${one.opaque === undefined ? 'says' : 'does not say'} what is done by ${one.name}`, () => {
      const { touches, opaque, indirectUses, facts } = analysis.understand(requestOf(one))
      if (one.opaque === undefined) assert.deepEqual(opaque, [])
      else {
        assert.ok(
          opaque.some((reason) => reason.includes(one.opaque ?? '')),
          opaque.join(),
        )
        assert.deepEqual(touches, [])
      }
      if (one.does) assert.deepEqual(touches.map(shown), one.does)
      if (one.facts) assert.deepEqual(facts.graphql, one.facts)
      if (one.uses) {
        const uses = indirectUses.map(({ source }) => [...source.path, source.part].join('.'))
        for (const use of one.uses) assert.ok(uses.includes(use), `${use} is not in ${uses.join()}`)
        if (one.uses.length === 0) assert.deepEqual(uses, [])
      }
    })

  it('is looked for where it is served, however the path is written', () => {
    const at = (segments: string[], otherReadings: string[][] = []) =>
      analysis.needs({ ...requestOf({}), path: { text: '', segments, otherReadings } })
    assert.ok(at(['graphql']))
    assert.ok(at(['GraphQL'], [['graphql']]))
    assert.equal(at(['users']), undefined)
  })

  it('is bounded in what it selects', () => {
    const levels = Array.from(
      { length: 20 },
      (_, i) => `fragment F${i} on T { a { ...F${i + 1} } b { ...F${i + 1} } }`,
    )
    const query = `{ ...F0 } ${levels.join(' ')} fragment F20 on T { x }`
    assert.deepEqual(analysis.understand(requestOf({ query })).opaque, [
      'the GraphQL document selects too much',
    ])
    for (const deep of ['{ a '.repeat(2_000) + '}'.repeat(2_000), '['.repeat(4_000), '{a(b:'.repeat(1_000)])
      analysis.understand(requestOf({ query: deep }))
  })

  it('never crashes on what it is sent', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      'query',
      'mutation',
      '...',
      'a',
      ':',
      '(',
      ')',
      '@defer',
      '"',
      '$x',
      'on',
      'fragment',
      ' ',
      '"""',
    )
    const text = fc.array(fc.oneof(piece, fc.string())).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, (query) => {
        analysis.understand(requestOf({ query }))
        analysis.understand(requestOf({ body: query }))
      }),
      { numRuns: 1_000 },
    )
  })

  const terms = bodyTerms({ masks: { '$.data.user.email': 'redact', '$.errors.email': 'redact' } })
  const answers: readonly { name: string; query: string; answer: string; out: string }[] = [
    {
      name: 'an alias of a field',
      query: '{ user { mail: email id } }',
      answer: '{"data":{"user":{"mail":"ada","id":1}}}',
      out: '{"data":{"user":{"mail":"********","id":1}}}',
    },
    {
      name: 'an alias of the object, in fragments',
      query: '{ me: user { ...F } } fragment F on User { ... on User { x: email } }',
      answer: '{"data":{"me":{"x":"ada"}},"errors":[{"email":"b"}]}',
      out: '{"data":{"me":{"x":"********"}},"errors":[{"email":"********"}]}',
    },
    {
      name: 'another field under the name of the masked one',
      query: '{ user { email: id id: email } }',
      answer: '{"data":{"user":{"email":1,"id":"ada"}}}',
      out: '{"data":{"user":{"email":1,"id":"********"}}}',
    },
    {
      name: 'one name for two fields of different types',
      query: '{ user { ... on A { x: id } ... on B { x: email } } }',
      answer: '{"data":{"user":{"x":"ada"}}}',
      out: '{"data":{"user":{"x":"********"}}}',
    },
  ]
  for (const { name, query, answer, out } of answers)
    it(`is masked through ${name}`, () => {
      const head = { status: 200, headers: [['content-type', 'application/graphql-response+json']] as const }
      const mask = openGraphqlMask(requestOf({ query }), head, terms)
      assert.ok(mask.ok)
      const masked = runMask(mask.value, cutAt(Buffer.from(answer), 5))
      assert.ok(masked.ok)
      assert.equal(masked.value.text, out)
    })

  it('is not masked where it could not be read', () => {
    const head = { status: 200, headers: [['content-type', 'application/json']] as const }
    assert.ok(!openGraphqlMask(requestOf({ query: '{' }), head, terms).ok)
  })
})

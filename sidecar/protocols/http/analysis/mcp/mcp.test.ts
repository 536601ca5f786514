import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { parse } from 'yaml'
import { anyRequest, bodyTerms, cutAt, runMask } from '../../bodies/testing.ts'
import type { BodyTerms, HttpRequest } from '../../request.ts'
import { HttpMeaning } from '../meaning.ts'
import { McpAnalysis } from './analysis.ts'
import { openMcpMask } from './answer.ts'

interface Case {
  readonly name: string
  readonly method?: string
  readonly type?: string
  readonly encoding?: string
  readonly body?: string
  readonly does?: readonly string[]
  readonly opaque?: string
  readonly facts?: unknown
}

const cases = parse(readFileSync(new URL('mcp.test.yaml', import.meta.url), 'utf8')) as Case[]
const analysis = new McpAnalysis(['/mcp'])

function requestOf({
  method = 'POST',
  type = 'application/json',
  encoding,
  body,
}: Partial<Case>): HttpRequest {
  return {
    ...anyRequest,
    method,
    path: { text: '/mcp', segments: ['mcp'], otherReadings: [] },
    headers: [
      ['content-type', type],
      ...(encoding === undefined ? [] : [['content-encoding', encoding] as const]),
    ],
    ...(body !== undefined && { body: Buffer.from(body) }),
  }
}

describe('MCP', () => {
  for (const one of cases)
    it(`${one.opaque === undefined ? 'says' : 'does not say'} what is done by ${one.name}`, () => {
      const { touches, opaque, facts } = analysis.understand(requestOf(one))
      if (one.opaque === undefined) assert.deepEqual(opaque, [])
      else
        assert.ok(
          opaque.some((reason) => reason.includes(one.opaque ?? '')),
          opaque.join(),
        )
      const does = touches.map(({ action, object: { kind, path }, origin }) =>
        [action, kind, ...path, ...(origin === 'direct' ? [] : [origin])].join(' '),
      )
      assert.deepEqual(does, one.does ?? [])
      if (one.facts) assert.deepEqual(facts.mcp, one.facts)
    })

  it('is looked for where it is served, however the path is written', () => {
    const at = (method: string, segments: string[], otherReadings: string[][] = []) =>
      analysis.needs({ ...requestOf({ method }), path: { text: '', segments, otherReadings } })
    assert.ok(at('POST', ['mcp']))
    assert.ok(at('POST', ['MCP', ''], [['mcp']]))
    assert.ok(at('GET', ['mcp']))
    assert.equal(at('POST', ['users']), undefined)
  })

  it('never crashes on what it is sent', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (body) => {
        analysis.understand(requestOf({ body }))
      }),
      { numRuns: 1_000 },
    )
  })
})

const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
const call = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}'
const tools =
  '[{"name":"read","d":"a"}, {"d":"{\\"name\\":\\"read\\"}","name":"drop"},{"n\\u0061me":"write"}]'

const answers: readonly {
  name: string
  request: Partial<Case>
  type?: string
  answer: string
  out: string
}[] = [
  {
    name: 'leave out what may not be called',
    request: { body: list },
    answer: `{"jsonrpc":"2.0","id":1,"result":{"tools":${tools},"nextCursor":"x"}}`,
    out: '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"read","d":"a"},{"n\\u0061me":"write"}],"nextCursor":"x"}}',
  },
  {
    name: 'leave out what has no one name',
    request: { body: list },
    answer:
      '{"result":{"tools":[{"name":"read","name":"drop"},{},"read",{"name":["read"]},{"x":{"name":"read"}}]}}',
    out: '{"result":{"tools":[]}}',
  },
  {
    name: 'leave out of every list, however often there is one',
    request: { body: `[${list}]` },
    answer: '[{"result":{"tools":[{"name":"drop"}],"tools":[{"name":"read"},{"name":"drop"}]}}]',
    out: '[{"result":{"tools":[],"tools":[{"name":"read"}]}}]',
  },
  {
    name: 'stay as they are where all may be called',
    request: { body: list },
    answer: '{"result": {"tools": [ {"name":"read"} , {"name":"write"} ]}}',
    out: '{"result": {"tools": [ {"name":"read"} , {"name":"write"} ]}}',
  },
  {
    name: 'leave out of events, also of another request’s',
    request: { method: 'GET' },
    type: 'text/event-stream',
    answer: 'id: 1\nevent: message\ndata: {"result":{"tools":[{"name":"drop"},{"name":"read"}]}}\n\n',
    out: 'id: 1\nevent: message\ndata: {"result":{"tools":[{"name":"read"}]}}\n\n',
  },
  {
    name: 'hold what is called tools elsewhere',
    request: { body: call },
    answer: '{"result":{"structuredContent":{"tools":[{"name":"drop"}]}}}',
    out: '{"result":{"structuredContent":{"tools":[{"name":"drop"}]}}}',
  },
  {
    name: 'mask results, also as JSON in text',
    request: { body: call },
    answer:
      '{"result":{"content":[{"type":"text","text":"{\\"email\\":\\"ada\\",\\"id\\":1}"}],"structuredContent":{"email":"ada"}}}',
    out: '{"result":{"content":[{"type":"text","text":"{\\"email\\":\\"********\\",\\"id\\":1}"}],"structuredContent":{"email":"********"}}}',
  },
]

describe('answers of MCP', () => {
  const terms: BodyTerms = {
    ...bodyTerms({
      masks: { '$.result.content.text.email': 'redact', '$.result.structuredContent.email': 'redact' },
    }),
    allows: ({ touches }) => touches.every(({ action }) => action !== 'mcp:tools/call.drop'),
  }
  const meaning = new HttpMeaning([analysis])
  for (const { name, request, type = 'application/json', answer, out } of answers)
    it(name, () => {
      for (const every of [1, 7, answer.length]) {
        const head = { status: 200, headers: [['content-type', type]] as const }
        const mask = openMcpMask(requestOf(request), head, terms, (asked) => meaning.commandOf(asked, false))
        assert.ok(mask.ok)
        const masked = runMask(mask.value, cutAt(Buffer.from(answer), every))
        assert.ok(masked.ok, masked.ok ? '' : masked.error)
        assert.equal(masked.value.text, out)
      }
    })
})

/** Changes as they are sent once they are bound to a version, to the byte. */
import assert from 'node:assert/strict'
import type { HttpRequest } from '../http/request.ts'
import { boundTo } from './precondition.ts'

const strategic = 'application/strategic-merge-patch+json'
const merge = 'application/merge-patch+json'
const json = 'application/json-patch+json'
const apply = 'application/apply-patch+yaml'

const sent = (type: string, body: string | Buffer, method = 'PATCH'): HttpRequest => ({
  method,
  path: { text: '/', segments: [''], otherReadings: [] },
  query: '',
  parameters: [],
  headers: [['content-type', type]],
  body: Buffer.from(body),
})
const bound = (type: string, body: string | Buffer, method?: string): string | undefined => {
  const result = boundTo('42', sent(type, body, method))
  return result.ok ? result.value.body?.toString() : undefined
}

const test = '{"op":"test","path":"/metadata/resourceVersion","value":"42"}'

describe('a change that is bound to a version of its object', () => {
  const inserted: readonly (readonly [type: string, before: string, after: string])[] = [
    [merge, '{}', '{"metadata":{"resourceVersion":"42"}}'],
    [
      strategic,
      ' { "spec" : {"n": 12345678901234567890, "f": 1.0, "e": 1E2, "u": "\\u00e9é"} }\n',
      ' {"metadata":{"resourceVersion":"42"}, "spec" : {"n": 12345678901234567890, "f": 1.0, "e": 1E2, "u": "\\u00e9é"} }\n',
    ],
    [
      strategic,
      '{"spec":{"metadata":{"a":1}},"metadata":{"labels":{"ü":"b"}}}',
      '{"spec":{"metadata":{"a":1}},"metadata":{"resourceVersion":"42","labels":{"ü":"b"}}}',
    ],
    [merge, '{"metadata" :\t{ }}', '{"metadata" :\t{"resourceVersion":"42" }}'],
    // what is no version to the API server, or another one than it has just taken
    [merge, '{"metadata":{"resourceVersion":""}}', '{"metadata":{"resourceVersion":"42"}}'],
    [merge, '{"metadata":{"resourceVersion":null}}', '{"metadata":{"resourceVersion":"42"}}'],
    [merge, '{"metadata":{"a":1,"resourceVersion": "0"}}', '{"metadata":{"a":1,"resourceVersion": "42"}}'],
    [merge, '{"metadata":{"resourceVersion":42}}', '{"metadata":{"resourceVersion":"42"}}'],
    [
      merge,
      '{"metadata":{"ResourceVersion":"42"}}',
      '{"metadata":{"resourceVersion":"42","ResourceVersion":"42"}}',
    ],
    [json, ' []', ` [${test}]`],
    [json, '[ {"op":"add","path":"/a","value":1.0}]', `[${test}, {"op":"add","path":"/a","value":1.0}]`],
    [
      json,
      `[{"op":"replace","path":"/metadata/resourceVersion","value":"42"},${test}]`,
      `[${test},{"op":"replace","path":"/metadata/resourceVersion","value":"42"},${test}]`,
    ],
    [
      json,
      `[{"op":"test","path":"/metadata/resourceVersion","value":"41"}]`,
      `[${test},{"op":"test","path":"/metadata/resourceVersion","value":"41"}]`,
    ],
    [apply, '{"kind":"Pod"}', '{"metadata":{"resourceVersion":"42"},"kind":"Pod"}'],
    [
      apply,
      'kind: Pod # ü\nmetadata:\n  # a name\n  name: web\nspec:\n  count: 12345678901234567890\n',
      'kind: Pod # ü\nmetadata:\n  # a name\n  resourceVersion: "42"\n  name: web\nspec:\n  count: 12345678901234567890\n',
    ],
    [
      apply,
      'kind: Pod\r\nmetadata:\r\n  name: web\r\n',
      'kind: Pod\r\nmetadata:\r\n  resourceVersion: "42"\n  name: web\r\n',
    ],
    [
      apply,
      '---\nmetadata: {name: web}\nkind: Pod',
      '---\nmetadata: {resourceVersion: "42", name: web}\nkind: Pod',
    ],
    [apply, 'metadata: {}\n', 'metadata: {resourceVersion: "42", }\n'],
    [apply, 'kind: Pod\n', 'metadata: {resourceVersion: "42"}\nkind: Pod\n'],
    [apply, 'metadata:\n  resourceVersion: ""\n', 'metadata:\n  resourceVersion: "42"\n'],
    [apply, 'metadata:\n  resourceVersion:   # none\n', ''],
  ]
  for (const [type, before, after] of inserted)
    it(`is written as it came but for that: ${type}, ${JSON.stringify(before)}`, () => {
      assert.equal(bound(type, before) ?? '', after)
    })

  const own: readonly (readonly [type: string, body: string])[] = [
    [merge, '{"metadata": {"resourceVersion":"42"}}'],
    [json, `[ ${test}]`],
    [json, '[{"value":"42","path":"/metadata/resourceVersion","op":"test"}]'],
    [apply, 'metadata:\n  resourceVersion: "42"\n'],
  ]
  for (const [type, body] of own)
    it(`is sent as it came where it names that version itself: ${type}, ${body}`, () => {
      assert.equal(bound(type, body), body)
    })

  const refused: readonly (readonly [type: string, body: string | Buffer, method?: string])[] = [
    [merge, '{"metadata":null}'],
    [merge, '{"metadata":[]}'],
    [merge, '"x"'],
    [apply, 'metadata: null\n'],
    [apply, 'metadata:\n'],
    [apply, 'x: &a {name: web}\nmetadata: *a\n'],
    ['application/apply-patch+cbor', Buffer.from([0xa0])],
    ['application/vnd.kubernetes.protobuf', Buffer.from('k8s\0\n\x09\n\x02v1\x12\x03Pod'), 'PUT'],
  ]
  for (const [type, body, method] of refused)
    it(`is refused where that can not be written with certainty: ${type}, ${JSON.stringify(body)}`, () => {
      const result = boundTo('42', sent(type, body, method))
      assert.ok(!result.ok)
      assert.match(result.error, /send it as JSON/)
    })

  it('holds for an update as for a patch', () => {
    const body = '{"kind":"Pod","metadata":{"name":"web"}}'
    const after = '{"kind":"Pod","metadata":{"resourceVersion":"42","name":"web"}}'
    assert.equal(bound('application/json', body, 'PUT'), after)
    assert.equal(
      bound('application/yaml', 'metadata:\n  name: web\n', 'PUT'),
      'metadata:\n  resourceVersion: "42"\n  name: web\n',
    )
  })
})

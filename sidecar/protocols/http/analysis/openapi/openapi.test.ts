import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { anyRequest } from '../../bodies/testing.ts'
import { HttpMeaning } from '../meaning.ts'
import { openApiOf } from '../of-target.ts'
import { OpenApiAnalysis } from './analysis.ts'
import { readOpenApi } from './document.ts'

interface Case {
  readonly name: string
  readonly method: string
  readonly path: string
  readonly readings?: readonly string[]
  readonly headers?: Record<string, string>
  readonly also?: readonly string[]
  readonly implied?: readonly string[]
  readonly template?: string
}

const table = parse(readFileSync(new URL('openapi.test.yaml', import.meta.url), 'utf8'), { merge: true }) as {
  document: unknown
  classification: Record<string, string[]>
  requests: Case[]
  classified: { name: string; text: string; fields: Record<string, string[]> }[]
  refused: { name: string; text: string; because: string }[]
}

describe('an OpenAPI document', () => {
  const read = readOpenApi(stringify(table.document))
  assert.ok(read.ok, read.ok ? '' : read.error)
  const meaning = new HttpMeaning([new OpenApiAnalysis(read.value)])

  for (const {
    name,
    method,
    path,
    readings = [],
    headers = {},
    also = [],
    implied = [],
    template,
  } of table.requests)
    it(`names ${name}`, () => {
      const command = meaning.commandOf(
        {
          ...anyRequest,
          method,
          headers: Object.entries(headers),
          path: {
            text: `/${path}`,
            segments: path.split('/'),
            otherReadings: readings.map((reading) => reading.split('/')),
          },
        },
        false,
      )
      const direct = command.touches.filter(({ origin }) => origin === 'direct')
      assert.ok(direct.length > 0)
      for (const touch of direct) assert.deepEqual(touch.also ?? [], also)
      const others = command.touches.filter(({ action }) => action.startsWith('openapi:'))
      assert.deepEqual(others.map(({ action }) => action).sort(), implied)
      assert.ok(others.every(({ origin }) => origin === 'implied'))
      if (template !== undefined) assert.equal(command.facts.openapi?.template, template)
    })

  it('classifies what answers hold', () => {
    const fields = read.value.classification.map(({ field, tags }) => [field, tags] as const)
    assert.deepEqual(Object.fromEntries(fields), table.classification)
  })

  it('gives the same command for the same request, by which decisions are remembered', () => {
    const request = (method: string, override: string) => ({
      ...anyRequest,
      method,
      headers: [['x-http-method-override', override]] as const,
      path: { text: '/v1/users/5', segments: ['v1', 'users', '5'], otherReadings: [] },
    })
    const command = meaning.commandOf(request('POST', 'GET'), false)
    assert.equal(meaning.commandOf(request('POST', 'GET'), false), command)
    assert.notEqual(meaning.commandOf(request('POST', 'DELETE'), false), command)
    assert.notEqual(meaning.commandOf(request('DELETE', 'GET'), false), command)
  })

  it('is asked for few methods, however many a request names', () => {
    const parameters = Array.from({ length: 600 }, (_, index) => ({ name: '_method', value: `M${index}` }))
    const { touches, opaque } = meaning.commandOf({ ...anyRequest, parameters }, false)
    assert.ok(touches.length + opaque.length < 20)
    assert.ok(opaque.includes('its method has too many names'))
  })

  it('is read once for a configuration, and known again in the next, whatever else is read', () => {
    const sourceOf = (title: string) => ({ document: `{openapi: 3.1.0, info: {title: ${title}}, paths: {}}` })
    const first = sourceOf('first')
    const result = openApiOf(first)
    assert.equal(openApiOf(sourceOf('first')), result)
    for (let other = 0; other < 200; other++) openApiOf(sourceOf(`other${other}`))
    assert.equal(openApiOf(first), result)
    assert.notEqual(openApiOf(sourceOf('first')), result)
  })

  it('says of which operations no rule can speak', () => {
    assert.deepEqual(read.value.unnamed, ['GET /files/{name}.pdf'])
  })

  for (const { name, text, fields } of table.classified)
    it(`classifies what answers hold by ${name}`, () => {
      const result = readOpenApi(text)
      assert.ok(result.ok, result.ok ? '' : result.error)
      const found = result.value.classification.map(({ field, tags }) => [field, tags] as const)
      assert.deepEqual(Object.fromEntries(found), fields)
    })

  for (const { name, text, because } of table.refused)
    it(`is not gone by where it has ${name}`, () => {
      const result = readOpenApi(text)
      assert.ok(!result.ok, 'it was read')
      assert.ok(result.error.includes(because), result.error)
    })
})

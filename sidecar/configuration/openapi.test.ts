import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { httpManifests } from '../../test/http-shop.ts'
import { loadConfiguration } from './configuration.ts'
import { openApiProblems } from './openapi.ts'

const document = `openapi: 3.1.0
paths:
  /users:
    get:
      operationId: listUsers
      responses:
        "200": {content: {application/json: {schema: {properties: {email: {x-firebreak-tags: [pii/email]}}}}}}
  /users/{id}:
    delete: {operationId: deleteUser}
`
const rule = (match: string, more = 'effect: deny'): string => `    - {name: x, match: ${match}, ${more}}\n`

describe('an OpenAPI document of a resource', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-openapi-'))
    mkdirSync(join(directory, 'api'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const load = (openapi: string, rules?: string): ReturnType<typeof loadConfiguration> => {
    const text = httpManifests({
      address: 'shop:443',
      http: `, openapi: ${openapi}`,
      ...(rules && { rules }),
    })
    writeFileSync(join(directory, 'firebreak.yaml'), text)
    return loadConfiguration(directory)
  }
  const inline = (text: string): string => `{document: ${JSON.stringify(text)}}`
  const problemsOf = (openapi: string, rules?: string): string[] =>
    load(openapi, rules).problems.map(({ severity, field, message }) => `${severity} ${field}: ${message}`)

  it('stands in the manifest, or in a file beside it', () => {
    writeFileSync(join(directory, 'api', 'shop.yaml'), document)
    for (const openapi of [inline(document), '{file: {path: api/shop.yaml}}']) {
      const { configuration } = load(openapi)
      const [resource] = configuration?.manifests.resources ?? []
      assert.equal(resource?.spec.http?.openapi?.document, document)
      assert.deepEqual(resource?.spec.classification, [{ tags: ['pii/email'], fields: ['$.email'] }])
    }
  })

  it('in a file is another one once the file says something else', () => {
    writeFileSync(join(directory, 'api', 'shop.yaml'), document)
    const before = load('{file: {path: api/shop.yaml}}').configuration?.snapshot.revision
    writeFileSync(join(directory, 'api', 'shop.yaml'), document.replace('deleteUser', 'removeUser'))
    const { configuration } = loadConfiguration(directory)
    assert.ok(before !== undefined && configuration)
    assert.notEqual(configuration.snapshot.revision, before)
  })

  it('is known to rules, by its operations and tags', () => {
    assert.deepEqual(problemsOf(inline(document), rule('{actions: ["openapi:deleteUser", "openapi:*"]}')), [])
    assert.deepEqual(problemsOf(inline(document), rule('{actions: ["openapi:delteUser"]}')), [
      'warning spec.rules[0].match.actions[0]: no OpenAPI document has the operation delteUser; did you mean deleteUser?',
    ])
    const mask = 'effect: mask, mask: {strategy: redact}'
    assert.deepEqual(problemsOf(inline(document), rule('{tags: ["pii/*"]}', mask)), [])
    assert.equal(problemsOf(inline(document), rule('{tags: [pi/email]}', mask)).length, 1)
    const asked = `{condition: "'deleteUser' in command.openapi.operation"}`
    assert.deepEqual(problemsOf(inline(document), rule(asked)), [
      'error spec.rules[0].match.condition: there is no command.openapi.operation; did you mean command.openapi.operations?',
    ])
  })

  it('keeps a configuration from coming into force that is not valid, and says where', () => {
    const field = 'error spec.http.openapi.document'
    assert.match(problemsOf(inline('swagger: "2.0"'))[0] ?? '', new RegExp(`^${field}: .*3\\.0 or 3\\.1`))
    const twice = document.replace('deleteUser', 'listUsers')
    assert.deepEqual(problemsOf(inline(twice)), [
      `${field}: two operations of the OpenAPI document are called listUsers: GET /users and DELETE /users/{id}`,
    ])
    const { configuration, problems } = load('{file: {path: api/none.yaml}}')
    assert.equal(configuration, undefined)
    assert.match(problems[0]?.message ?? '', /^it can't be read: /)
    assert.equal(problems[0]?.location.line, 7)
    writeFileSync(join(directory, 'api', 'long.yaml'), document.padEnd(600_000, '#'))
    assert.match(problemsOf('{file: {path: api/long.yaml}}')[0] ?? '', /more than 524288 bytes/)
    assert.match(problemsOf(inline(document.padEnd(600_000, '#')))[0] ?? '', /openapi\.document: .*524288/)
    assert.match(problemsOf('{}')[0] ?? '', /exactly one of document and file/)
  })

  it('is warned of where operations have no name that a rule could have', () => {
    const nameless = document
      .replace('operationId: deleteUser', 'summary: x')
      .replace('listUsers', 'list users')
    assert.deepEqual(problemsOf(inline(nameless)), [
      'warning spec.http.openapi.document: GET /users has no operationId that a rule could speak of, nor have 1 others: only wildcards match it',
    ])
  })

  it('stands in the API of a cluster only as text that is valid', () => {
    const problemIn = (openapi: string): string | undefined => {
      const { configuration } = load(inline(document))
      const [resource] = configuration?.manifests.resources ?? []
      assert.ok(resource?.spec.http)
      const stored = JSON.parse(openapi) as { document: string }
      const http = { ...resource.spec.http, openapi: stored }
      return openApiProblems({ ...resource, spec: { ...resource.spec, http } })[0]?.message
    }
    assert.equal(problemIn(JSON.stringify({ document })), undefined)
    assert.match(problemIn('{"document": "openapi: 2"}') ?? '', /not of OpenAPI 3/)
    assert.match(problemIn('{"file": {"path": "/etc/passwd"}}') ?? '', /a pod has no files of manifests/)
  })
})

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { evaluate, parse as parseCel } from '@marcbachmann/cel-js'
import { parse } from 'yaml'
import { loadManifests } from './load.ts'
import { readDefinitions, type Schema } from './schema.ts'

const cases = parse(readFileSync(new URL('testdata/load-cases.yaml', import.meta.url), 'utf8')) as {
  name: string
  yaml: string
  problems: string[]
}[]

describe('manifests', () => {
  for (const { name, yaml, problems } of cases) {
    it(`says what is wrong with ${name}, and where`, () => {
      const loaded = loadManifests([{ path: 'a.yaml', text: yaml }])
      const shown = loaded.problems.map(
        ({ location: { file, line, column }, field, message }) =>
          `${file}:${line}:${column} ${field}: ${message}`,
      )
      assert.deepEqual(shown, problems)
    })
  }

  for (const folder of ['ci-job', 'standalone', 'support-bot', 'tutorial']) {
    it(`loads examples/${folder}`, () => {
      const directory = new URL(`../examples/${folder}/`, import.meta.url)
      const files = readdirSync(directory)
        .filter((path) => path.endsWith('.yaml'))
        .map((path) => ({ path, text: readFileSync(new URL(path, directory), 'utf8') }))
      const { problems, manifests } = loadManifests(files)
      assert.deepEqual(problems, [])
      assert.equal(manifests.policies.length, 1)
    })
  }

  it('fills in defaults, and reads Secrets and Lists', () => {
    const text = `
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: aGVsbG8=}, stringData: {b: there}}
  - {apiVersion: firebreak.dev/v1alpha1, kind: AgentIdentity, metadata: {name: i}, spec: {}}`
    const { manifests, problems } = loadManifests([{ path: 'a.yaml', text }])
    assert.deepEqual(problems, [])
    assert.deepEqual(manifests.secrets[0]?.data, { a: 'hello', b: 'there' })
    assert.deepEqual(manifests.identities[0]?.spec, {
      authentication: { kubernetes: { audience: 'firebreak', maxTokenAge: '24h' } },
      session: { maxDuration: '1h', idleTimeout: '15m' },
      suspend: false,
    })
  })
})

/** Keywords of a structural schema that the API server takes. */
const keywords = new Set([
  'type',
  'description',
  'properties',
  'additionalProperties',
  'required',
  'items',
  'enum',
  'default',
  'pattern',
  'format',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
])

describe('custom resource definitions', () => {
  for (const { kind, schema } of readDefinitions()) {
    it(`${kind} is a structural schema with valid rules`, () => {
      // the API server owns metadata, and refuses a CRD that says more about it, even a description
      const { metadata, ...described } = schema.properties ?? {}
      assert.deepEqual(metadata, { type: 'object' })
      visit({ ...schema, properties: described }, kind)
    })
  }

  function visit(schema: Schema, path: string): void {
    for (const keyword of Object.keys(schema)) assert.ok(keywords.has(keyword), `${path} has ${keyword}`)
    assert.ok(schema.type, `${path} has a type`)
    assert.ok(
      !(schema.properties && schema.additionalProperties),
      `${path} has properties or additionalProperties`,
    )
    if (schema.pattern) new RegExp(schema.pattern)
    if (schema.type === 'array')
      assert.ok(schema.items && schema['x-kubernetes-list-type'], `${path} says what it is a list of`)
    for (const required of schema.required ?? [])
      assert.ok(schema.properties?.[required], `${path}.${required} exists`)
    for (const key of schema['x-kubernetes-list-map-keys'] ?? [])
      assert.ok(
        schema.items?.required?.includes(key) || schema.items?.properties?.[key]?.default !== undefined,
        `${path}[].${key} is required, or has a default`,
      )
    for (const { rule } of schema['x-kubernetes-validations'] ?? [])
      assert.doesNotThrow(() => parseCel(rule), `${path}: ${rule}`)
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      assert.ok(property.description, `${path}.${name} is described`)
      visit(property, `${path}.${name}`)
    }
    if (schema.items) visit(schema.items, `${path}[]`)
  }

  it('lets nobody change or take back what was asked and decided', () => {
    const spec = readDefinitions().find(({ kind }) => kind === 'ApprovalRequest')?.schema.properties?.spec
    const holds = (self: object, oldSelf: object): boolean =>
      (spec?.['x-kubernetes-validations'] ?? []).every(
        ({ rule }) => evaluate(rule, { self, oldSelf }) === true,
      )
    const request = {
      identity: 'a',
      chain: [{ identity: 'n/a' }],
      resource: 'r',
      role: 'x',
      kind: 'command',
      command: { text: 't' },
      policy: 'p',
      rule: 'q',
      approval: { quorum: 1 },
      requestedAt: 't',
      expiresAt: 't',
    }
    assert.ok(holds({ ...request, decision: 'Approved', reason: 'fine' }, request))
    assert.ok(!holds({ ...request, identity: 'b' }, request))
    assert.ok(!holds({ ...request, command: { text: 'other' } }, request))
    assert.ok(
      holds(
        { ...request, decision: 'Denied', reason: 'no' },
        { ...request, decision: 'Approved', reason: 'yes' },
      ),
    )
    assert.ok(!holds({ ...request, decision: 'Approved' }, { ...request, decision: 'Denied' }))
    assert.ok(!holds(request, { ...request, decision: 'Approved' }))
  })
})

import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import { readConfiguration } from './agent-configuration.ts'

const resource = {
  apiVersion: 'firebreak.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: { name: 'orders', namespace: 'agents' },
  spec: {
    type: 'postgresql',
    address: 'orders-db:5432',
    roles: [{ name: 'reader', credential: { secret: { name: 'orders-reader' } } }],
  },
}
const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'orders-reader', namespace: 'agents' },
  stringData: { password: 'of the reader' },
}
const email = { type: 'string', 'x-firebreak-tags': ['pii/email'] }
const packed = (json: string): string => gzipSync(json).toString('base64')
const whole = {
  namespace: 'agents',
  name: 'support-bot',
  revision: 'abc',
  manifests: packed(JSON.stringify([resource])),
  secrets: [secret],
}
const read = (sent: object): ReturnType<typeof readConfiguration> =>
  readConfiguration(Buffer.from(JSON.stringify(sent)))

describe('a configuration from the operator', () => {
  it('is read, with the Secrets beside the compressed manifests', () => {
    const result = read(whole)
    assert.ok(result.ok, result.ok ? '' : result.error)
    const { namespace, name, revision, configuration } = result.value
    assert.deepEqual([namespace, name, revision], ['agents', 'support-bot', 'abc'])
    assert.deepEqual(
      configuration.manifests.resources.map(({ metadata }) => metadata.name),
      ['orders'],
    )
    assert.deepEqual(
      configuration.manifests.secrets.map(({ data }) => data),
      [{ password: 'of the reader' }],
    )
  })

  it('is read with what clients that come by TLS are shown, or without, as older operators send it', () => {
    const pair = { certificate: 'PEM', key: 'PEM' }
    const certificates = { authority: 'PEM', certificates: { orders: { ...pair, byName: pair } } }
    const [sent, none] = [read({ ...whole, certificates }), read(whole)]
    assert.ok(sent.ok && none.ok)
    assert.deepEqual(sent.value.certificates, certificates)
    assert.deepEqual(none.value.certificates, { authority: undefined, certificates: {} })
  })

  const refused: Readonly<Record<string, object>> = {
    'without a name': { ...whole, name: '' },
    'with manifests that are not compressed': { ...whole, manifests: [resource] },
    'with manifests that are not gzip': { ...whole, manifests: Buffer.from('[]').toString('base64') },
    'that is cut off': { ...whole, manifests: whole.manifests.slice(0, -20) },
    'with something else than a list in it': { ...whole, manifests: packed('{}') },
    'that unpacks to more than a pod has memory for': {
      ...whole,
      manifests: packed(`[${' '.repeat(40 * 1024 * 1024)}]`),
    },
    'without a list of Secrets': { ...whole, secrets: undefined },
    'with certificates that are a list': { ...whole, certificates: { certificates: [] } },
    'with a certificate without its key': {
      ...whole,
      certificates: { authority: 'PEM', certificates: { orders: { certificate: 'PEM' } } },
    },
    'with a certificate by name without its key': {
      ...whole,
      certificates: {
        certificates: { orders: { certificate: 'PEM', key: 'PEM', byName: { certificate: 'PEM' } } },
      },
    },
    'with an authority that is no text': { ...whole, certificates: { authority: 1, certificates: {} } },
  }
  for (const [what, sent] of Object.entries(refused))
    it(`is refused as a whole: one ${what}`, () => {
      const result = read(sent)
      assert.deepEqual(result, {
        ok: false,
        error: 'it is not what this version of the enforcer understands',
      })
    })

  it('holds the OpenAPI document of a resource, and what it says of the data', () => {
    const document = JSON.stringify({
      openapi: '3.1.0',
      paths: {
        '/users': {
          get: {
            operationId: 'listUsers',
            responses: { 200: { content: { 'application/json': { schema: { properties: { email } } } } } },
          },
        },
      },
    })
    const { spec } = resource
    const crm = { ...resource, spec: { ...spec, type: 'http', http: { openapi: { document } } } }
    const result = read({ ...whole, manifests: packed(JSON.stringify([crm])) })
    assert.ok(result.ok, result.ok ? '' : result.error)
    const [received] = result.value.configuration.manifests.resources
    assert.deepEqual(received?.spec.classification, [{ tags: ['pii/email'], fields: ['$.email'] }])
    assert.equal(received?.spec.http?.openapi?.document, document)
    const broken = { ...crm, spec: { ...crm.spec, http: { openapi: { document: 'openapi: 2' } } } }
    const refused = read({ ...whole, manifests: packed(JSON.stringify([broken])) })
    assert.ok(!refused.ok)
    assert.match(refused.error, /spec\.http\.openapi\.document: the document is not of OpenAPI 3/)
  })

  it('is refused with what is wrong in it, and nothing of a Secret', () => {
    const broken = { ...resource, spec: { ...resource.spec, type: 'nothing' } }
    const result = read({ ...whole, manifests: packed(JSON.stringify([broken])) })
    assert.ok(!result.ok)
    assert.match(result.error, /spec.type/)
    assert.doesNotMatch(result.error, /of the reader/)
  })
})

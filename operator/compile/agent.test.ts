import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { loadManifests } from '@firebreak/crds'
import { type AgentConfiguration, compileAgent } from './agent.ts'
import { NamespaceCompiler, type Objects } from './namespace.ts'

const text = readFileSync(new URL('testdata/namespace.yaml', import.meta.url), 'utf8')

function objectsOf(yaml: string): Objects {
  const { manifests, problems } = loadManifests([{ path: 'namespace.yaml', text: yaml }])
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  )
  const secrets = manifests.secrets.map((secret) => ({
    ...secret,
    metadata: { ...secret.metadata, uid: secret.metadata.name, resourceVersion: '1' },
  }))
  return { ...manifests, secrets }
}

function configurationOf(
  name: string,
  objects: Objects,
  compiler = new NamespaceCompiler(),
): AgentConfiguration {
  const identity = objects.identities.find(({ metadata }) => metadata.name === name)
  assert.ok(identity)
  const compiled = compileAgent(identity, compiler.compile(objects))
  assert.ok(compiled.kind === 'compiled', JSON.stringify(compiled))
  return compiled.configuration
}

const names = (manifests: readonly { metadata: { name: string } }[]): string[] =>
  manifests.map(({ metadata }) => metadata.name).sort()

describe("an agent's configuration", () => {
  const objects = objectsOf(text)

  it('holds what the agent may use, with only its roles and the keys of Secrets that these refer to', () => {
    const { objects: part } = configurationOf('reader-bot', objects)
    assert.deepEqual(names(part.identities), ['reader-bot'])
    assert.deepEqual(names(part.resources), ['orders'])
    assert.deepEqual(
      part.resources[0]?.spec.roles.map(({ name }) => name),
      ['reader'],
    )
    assert.deepEqual(
      part.secrets.map(({ metadata, data }) => [metadata.name, data]),
      [
        ['orders-ca', { 'ca.crt': 'PEM' }],
        ['orders-reader', { username: 'r', password: 'reader-password' }],
      ],
    )
    assert.ok(!JSON.stringify(part).includes('owner-password'))
    assert.deepEqual(names(part.policies), ['everybody', 'readers'])
  })

  it('holds the authorities by which the endpoint is verified that gives out tokens', () => {
    const api = objectsOf(`${text}---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: crm}
spec:
  type: http
  address: crm:443
  http:
    authentication: {as: oauth2, oauth2: {tokenUrl: "https://issuer/token", ca: {secret: {name: orders-ca, key: ca.crt}}}}
  roles: [{name: support, credential: {secret: {name: orders-reader}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot}
spec:
  access: [{resource: crm, roles: [support]}]
`)
    const { objects: part } = configurationOf('support-bot', api)
    assert.deepEqual(names(part.secrets), ['orders-ca', 'orders-reader'])
    assert.equal(part.resources[0]?.spec.http?.authentication?.oauth2?.tokenUrl, 'https://issuer/token')
  })

  it('holds those whom the agent may delegate to, as deep as it may, and no credential that the agent itself may not use', () => {
    const { objects: part } = configurationOf('orchestrator', objects)
    assert.deepEqual(names(part.identities), ['orchestrator', 'planner', 'reader-bot'])
    assert.deepEqual(names(part.resources), ['orders'])
    assert.deepEqual(names(part.secrets), ['orders-ca', 'orders-reader'])
  })

  it('has a revision that changes with what is in it, and only then', () => {
    const revision = configurationOf('reader-bot', objects).revision
    assert.equal(configurationOf('reader-bot', objectsOf(text)).revision, revision)
    const changed = (from: string, to: string): string =>
      configurationOf('reader-bot', objectsOf(text.replace(from, to))).revision
    assert.equal(changed('name: owner-bot', 'name: other-bot'), revision)
    assert.notEqual(changed('effect: deny', 'effect: alert'), revision)
    const rotated = {
      ...objects,
      secrets: objects.secrets.map((secret) => ({
        ...secret,
        metadata: { ...secret.metadata, resourceVersion: '2' },
      })),
    }
    assert.notEqual(configurationOf('reader-bot', rotated).revision, revision)
  })

  it('has another revision with other certificates, where it has an API that is reached by TLS', () => {
    const revisionOf = (some: Objects, version: string): string =>
      configurationOf('reader-bot', some, new NamespaceCompiler(undefined, { version })).revision
    assert.equal(revisionOf(objects, 'one'), revisionOf(objects, 'two'), 'a database')
    const api = objectsOf(text.replace('type: postgresql', 'type: http'))
    assert.equal(revisionOf(api, 'one'), revisionOf(api, 'one'))
    assert.notEqual(revisionOf(api, 'one'), revisionOf(api, 'two'))
  })

  it('keeps the last good version of a policy that was broken', () => {
    const compiler = new NamespaceCompiler()
    const before = configurationOf('reader-bot', objects, compiler)
    const broken = objectsOf(text.replace('condition: command.sql.restricted', 'condition: command.sql ==='))
    assert.deepEqual([...compiler.compile(broken).problems.keys()], ['everybody'])
    assert.deepEqual(configurationOf('reader-bot', broken, compiler), before)
  })

  it('is withheld from whom a policy may apply that is broken and was never good', () => {
    const broken = objectsOf(text.replace('condition: command.sql.restricted', 'condition: command.sql ==='))
    const compiled = new NamespaceCompiler().compile(broken)
    const of = (name: string): string => {
      const identity = broken.identities.find(({ metadata }) => metadata.name === name)
      assert.ok(identity)
      return compileAgent(identity, compiled).kind
    }
    assert.equal(of('reader-bot'), 'withheld')
    const readersOnly = objectsOf(text.replace('match: {actions: ["sql:drop"]}', 'match: {condition: "("}'))
    const forReaders = new NamespaceCompiler().compile(readersOnly)
    const owner = readersOnly.identities.find(({ metadata }) => metadata.name === 'owner-bot')
    assert.ok(owner)
    assert.equal(compileAgent(owner, forReaders).kind, 'compiled')
  })
})

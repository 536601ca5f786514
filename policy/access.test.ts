import assert from 'node:assert/strict'
import { loadManifests } from '@firebreak/crds'
import type { Elevation, Principal } from './decision.ts'
import { compilePolicy } from './snapshot.ts'

const text = `
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: postgresql
  address: "h:1"
  roles:
    - {name: reader, credential: {file: {path: x}}}
    - {name: writer, credential: {file: {path: x}}}
    - {name: owner, credential: {file: {path: x}}}
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: bot}
spec:
  access:
    - resource: shop
      roles: [reader, writer]
      roleGroups: [{role: writer, groups: [dba, operations]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: parent}
spec: {access: [{resource: shop, roles: [reader, writer]}]}
`

const elevation: Elevation = {
  request: 'bot-bcdfg',
  rule: { policy: 'default/guard', rule: 'more' },
  role: 'writer',
}
const bot = (...groups: string[]): Principal => ({ identity: 'default/bot', groups })
const parent: Principal = { identity: 'default/parent', groups: ['dba'] }
const needs = 'role writer of default/shop needs group dba or operations, which default/bot has not'

const cases: readonly [
  name: string,
  chain: readonly [Principal, ...Principal[]],
  role: string,
  refusal?: string,
][] = [
  ['a role that needs no group', [bot()], 'reader'],
  ['a role that needs a group, without', [bot()], 'writer', needs],
  ['a role that needs a group, with another', [bot('support', 'DBA')], 'writer', needs],
  ['a role that needs a group, with one of them', [bot('support', 'operations')], 'writer'],
  [
    'a role that is not among the roles',
    [bot('dba')],
    'owner',
    'default/bot has no access to role owner of default/shop',
  ],
  ['a role that was granted for a while', [{ ...bot(), elevations: [elevation] }], 'writer'],
  ["a child that lacks its parent's group", [parent, bot()], 'writer', needs],
  ['a child that has the group itself', [parent, bot('dba')], 'writer'],
]

describe('access to roles', () => {
  const { manifests, problems } = loadManifests([{ path: 'a.yaml', text }])
  assert.deepEqual(problems, [])
  const compiled = compilePolicy(manifests)
  assert.ok(compiled.ok)
  const { snapshot } = compiled

  for (const [name, chain, role, refusal] of cases)
    it(`${name}: ${refusal ? 'refused' : 'open'}`, () =>
      assert.equal(snapshot.refusal({ chain, resource: 'default/shop', role }), refusal))
})

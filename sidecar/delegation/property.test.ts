import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadManifests } from '@firebreak/crds'
import { type Command, compilePolicy, type Decision, type Limits, type Touch } from '@firebreak/policy'
import fc from 'fast-check'
import { Audit } from '../audit/audit.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { loopbackProof } from '../identity/identities.ts'
import { chainOf } from '../identity/proof.ts'
import { type Authenticated, authenticate } from '../listen/authenticate.ts'
import { Runtime } from '../runtime.ts'
import type { Delegator } from './delegation.ts'
import type { ScopeAsk } from './narrow.ts'

/** The chain is of these in this order, as far as it goes. */
const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const actions = ['sql:select', 'sql:update', 'sql:delete', 'sql:drop'] as const
const tables = ['customers', 'orders', 'carts'] as const
const columns = ['id', 'email', 'ssn'] as const

/** What the patterns of scopes mean, said once more and without patterns. */
const actionMeans: Readonly<Record<string, (action: string) => boolean>> = {
  '*': () => true,
  'sql:*': () => true,
  'sql:s*': (action) => action === 'sql:select',
  'sql:d*': (action) => action === 'sql:delete' || action === 'sql:drop',
  'sql:select': (action) => action === 'sql:select',
  'sql:update': (action) => action === 'sql:update',
  'sql:SELECT': () => false,
  'k8s:*': () => false,
}
type Covered = 'all' | readonly string[] | 'none'
const objectMeans: Readonly<Record<string, (table: string) => Covered>> = {
  '**': () => 'all',
  public: () => 'all',
  'public.*': () => 'all',
  '*.orders': (table) => (table === 'orders' ? 'all' : 'none'),
  'public.orders': (table) => (table === 'orders' ? 'all' : 'none'),
  'public.c*': (table) => (table === 'orders' ? 'none' : 'all'),
  'public.customers': (table) => (table === 'customers' ? 'all' : 'none'),
  'public.customers.id': (table) => (table === 'customers' ? ['id'] : 'none'),
  'public.customers."email"': (table) => (table === 'customers' ? ['email'] : 'none'),
  'function public.orders': () => 'none',
}

const limits = fc.record(
  { rowsPerCommand: fc.integer({ min: 1, max: 9 }), commandsPerMinute: fc.integer({ min: 1, max: 9 }) },
  { requiredKeys: [] },
)
/** Often something wide, or nothing: what is beyond the parent ends a chain early. */
const list = (wide: string[], all: readonly string[]): fc.Arbitrary<string[] | undefined> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 3, arbitrary: fc.constant(wide) },
    { weight: 3, arbitrary: fc.constantFrom(...all).map((one) => [one]) },
    { weight: 1, arbitrary: fc.subarray([...all], { minLength: 1 }) },
  )
const asks: fc.Arbitrary<ScopeAsk> = fc
  .record({
    actions: list(['sql:*'], Object.keys(actionMeans)),
    objects: list(['public.*'], Object.keys(objectMeans)),
    roles: list(['r', 's'], ['r', 's']),
    limits: fc.option(limits, { nil: undefined, freq: 3 }),
  })
  .map((ask) => Object.fromEntries(Object.entries(ask).filter(([, value]) => value !== undefined)))
const matches = fc.record(
  {
    actions: fc.subarray([...actions, 'sql:*'], { minLength: 1 }),
    objects: fc.subarray(['public.*', 'public.customers', 'public.customers.email', '*.orders'], {
      minLength: 1,
    }),
    tags: fc.constant(['pii/*']),
    condition: fc.constantFrom(
      'command.sql.restricted',
      '!command.sql.restricted',
      'command.sql.missing == 1',
    ),
  },
  { requiredKeys: [] },
)
const rules = fc.array(
  fc.record({
    effect: fc.constantFrom('allow', 'allow', 'allow', 'deny', 'requireApproval', 'mask'),
    match: fc.oneof({ weight: 1, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: matches }),
  }),
  { maxLength: 4 },
)
const worlds = fc.record({
  /** With the first, most are allowed something. */
  open: fc.boolean(),
  policies: fc.array(
    fc.record({ rules, limits, groups: fc.option(fc.subarray(['x', 'y'], { minLength: 1 })) }),
    { minLength: 1, maxLength: 4 },
  ),
  groups: fc.array(fc.subarray(['x', 'y', 'z']), { minLength: names.length, maxLength: names.length }),
  suspended: fc.oneof({ weight: 19, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(5) }),
  maxDepths: fc.array(fc.constantFrom(5, 5, 5, 5, 5, 5, 2), {
    minLength: names.length,
    maxLength: names.length,
  }),
})
const commands = fc.record({
  touches: fc.array(
    fc.record<Touch>({
      action: fc.constantFrom(...actions),
      object: fc.record(
        {
          kind: fc.constant('table'),
          path: fc.constantFrom(...tables).map((table) => ['public', table]),
          parts: fc.subarray([...columns], { minLength: 1 }),
        },
        { requiredKeys: ['kind', 'path'] },
      ),
      origin: fc.constantFrom('direct', 'direct', 'implied', 'baseline'),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  opaque: fc.constantFrom<string[]>([], [], [], ['something']),
  restricted: fc.boolean(),
})

type World = typeof worlds extends fc.Arbitrary<infer Value> ? Value : never

const everything: World['policies'][number] = {
  rules: [{ effect: 'allow', match: {} }],
  limits: {},
  groups: null,
}

function configurationOf({ open, policies, groups, suspended, maxDepths }: World): Configuration {
  const documents = [
    {
      kind: 'ProtectedResource',
      metadata: { name: 'shop' },
      spec: {
        type: 'postgresql',
        address: 'h:1',
        classification: [{ tags: ['pii/email'], columns: ['public.customers.email'] }],
        roles: ['r', 's'].map((name) => ({ name, credential: { file: { path: 'x' } } })),
      },
    },
    ...names.map((name, index) => ({
      kind: 'AgentIdentity',
      metadata: { name },
      spec: {
        groups: groups[index],
        suspend: suspended === index,
        access: [{ resource: 'shop', roles: ['r', 's'] }],
        delegation: { maxDepth: maxDepths[index] },
        ...(index === 0 && { authentication: { loopback: {} } }),
      },
    })),
    ...[...(open ? [everything] : []), ...policies].map(
      ({ rules: list, limits: most, groups: applies }, index) => ({
        kind: 'GuardrailPolicy',
        metadata: { name: `p${index}` },
        spec: {
          appliesTo: applies ? { groups: applies } : {},
          limits: most,
          rules: list.map((rule, position) => ({
            name: `n${position}`,
            ...rule,
            ...(rule.effect === 'mask' && { mask: { strategy: 'redact' } }),
          })),
        },
      }),
    ),
  ].map((document) => JSON.stringify({ apiVersion: 'firebreak.dev/v1alpha1', ...document }))
  const { manifests, problems, locate } = loadManifests([{ path: 'a', text: documents.join('\n---\n') }])
  assert.deepEqual(problems, [])
  const compiled = compilePolicy(manifests)
  assert.ok(compiled.ok)
  return { directory: '.', manifests, locate, snapshot: compiled.snapshot }
}

function commandOf({
  touches,
  opaque,
  restricted,
}: typeof commands extends fc.Arbitrary<infer V> ? V : never): Command {
  const fields = columns.map((part) => ({
    label: part,
    sources: [{ path: ['public', 'customers'], part }],
    derivation: 'copy' as const,
  }))
  const facts = { sql: { restricted } }
  return { resourceType: 'postgresql', text: 't', touches, opaque, fields, indirectUses: [], facts }
}

/** Whether a scope holds all that a command asks for. */
function within(ask: ScopeAsk, { touches, opaque }: Command): boolean {
  const everyAction = !ask.actions || ask.actions.some((pattern) => pattern === '*' || pattern === 'sql:*')
  const everyObject = !ask.objects || ask.objects.includes('**')
  if (opaque.length > 0) return everyAction && everyObject
  return touches.every(({ action, object, origin }) => {
    if (origin === 'baseline') return true
    if (ask.actions && !ask.actions.some((pattern) => actionMeans[pattern]?.(action))) return false
    if (!ask.objects || origin === 'implied') return true
    const covered = ask.objects.map((pattern) => objectMeans[pattern]?.(object.path[1] ?? '') ?? 'none')
    return (
      covered.includes('all') ||
      (object.parts?.every((part) => covered.some((parts) => parts !== 'none' && parts.includes(part))) ??
        false)
    )
  })
}

const severity = { allow: 0, hold: 1, deny: 2 }
const masked = (decision: Decision): readonly boolean[] =>
  decision.effect === 'deny' ? [] : decision.masks.map((mask) => mask !== undefined)

function assertNoMore(child: Decision, ancestor: Decision): void {
  assert.ok(severity[child.effect] >= severity[ancestor.effect], `${child.effect} for ${ancestor.effect}`)
  if (child.effect === 'deny') return
  masked(ancestor).forEach((was, index) => {
    assert.ok(!was || masked(child)[index], 'a mask is gone')
  })
}

describe('a child of any chain', function () {
  this.timeout(120_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-delegations-'))
  let audit: Audit
  /** How often a child got something, so that the property is not true of nothing. */
  const seen = { issued: 0, deepest: 0, allowed: 0, narrowed: 0, refused: 0 }

  before(async () => {
    const language = { normalize: (text: string) => text, mayHoldSecret: () => false }
    audit = await Audit.open([{ kind: 'file', path: join(directory, 'audit.jsonl') }], language, {
      failed: assert.fail,
      recovered() {},
      undelivered() {},
      delivered() {},
    })
  })
  after(async () => {
    await audit.close()
    rmSync(directory, { recursive: true })
  })

  /** Everybody in the chain as far as it could be made, each by its own token. */
  async function chain(
    runtime: Runtime,
    wanted: readonly ScopeAsk[],
    role: string,
  ): Promise<Authenticated[]> {
    const [resource] = runtime.configuration.manifests.resources
    const [root] = runtime.configuration.manifests.identities
    assert.ok(resource && root)
    const enter = async (token?: string): Promise<Authenticated | undefined> => {
      const claim = { remoteAddress: '127.0.0.1', role, ...(token !== undefined && { token }) }
      const entered = await authenticate(claim, resource, runtime, 'a')
      return entered.ok && runtime.configuration.snapshot.refusal(entered.value.subject) === undefined
        ? entered.value
        : undefined
    }
    const first = await enter()
    if (!first) return []
    const members = [first]
    let by: Delegator = { kind: 'root', proof: loopbackProof(root) }
    for (const [index, ask] of wanted.entries()) {
      const issued = await runtime.delegations.issue(by, { ...ask, to: names[index + 1] ?? '' }, 'test')
      if (!issued.ok) {
        seen.refused++
        break
      }
      by = { kind: 'child', delegation: issued.value.delegation }
      const member = await enter(issued.value.token)
      if (!member) break
      seen.issued++
      members.push(member)
      seen.deepest = Math.max(seen.deepest, members.length)
    }
    return members
  }

  function check(
    runtime: Runtime,
    members: readonly Authenticated[],
    wanted: readonly ScopeAsk[],
    command: Command,
  ): void {
    const { snapshot } = runtime.configuration
    const subjects = members.map(({ subject, proof }) => {
      // as a live session does
      const renewed = runtime.renewed(proof)
      return renewed.ok ? { ...subject, chain: chainOf(renewed.value) } : undefined
    })
    const child = subjects.at(-1)
    if (!child) return
    const decision = snapshot.decide(child, command)
    if (decision.effect === 'allow') seen.allowed++
    for (const [index, ancestor] of subjects.entries()) {
      // who stands behind a child that stands, stands too
      assert.ok(ancestor)
      const own = snapshot.decide(ancestor, command)
      assertNoMore(decision, own)
      const [alone] = ancestor.chain.slice(-1)
      assert.ok(alone)
      const { scope: _, ...whole } = alone
      assertNoMore(decision, snapshot.decide({ ...child, chain: [whole] }, command))
      // limits are of those who may do anything at all
      if (decision.effect !== 'deny')
        assertLimits(snapshot.termsFor(child).limits, snapshot.termsFor(ancestor).limits)
      const ask = wanted[index - 1]
      if (!ask) continue
      if (decision.effect === 'deny') {
        if (own.effect !== 'deny') seen.narrowed++
        continue
      }
      assert.ok(within(ask, command), 'it is outside of what was given')
      assertLimits(snapshot.termsFor(child).limits, ask.limits ?? {})
      assert.ok(ask.roles?.includes(child.role) ?? true)
    }
  }

  it('never gets what anybody before it would not, whatever the policies are now', async () => {
    const cases = fc.tuple(
      worlds,
      worlds,
      fc.array(asks, { minLength: 1, maxLength: 5 }),
      fc.array(commands, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('r', 's'),
    )
    await fc.assert(
      fc.asyncProperty(cases, async ([world, later, wanted, list, role]) => {
        const runtime = new Runtime(configurationOf(world), audit)
        const members = await chain(runtime, wanted, role)
        if (members.length === 0) return
        for (const parts of list) check(runtime, members, wanted, commandOf(parts))
        runtime.apply(configurationOf(later))
        for (const parts of list) check(runtime, members, wanted, commandOf(parts))
      }),
      { numRuns: 250 },
    )
    assert.ok(
      seen.deepest >= 4 && seen.issued > 100 && seen.allowed > 50 && seen.narrowed > 20,
      JSON.stringify(seen),
    )
  })
})

function assertLimits(child: Limits, ancestor: Limits): void {
  for (const name of Object.keys(ancestor) as (keyof Limits)[])
    assert.ok((child[name] ?? Number.POSITIVE_INFINITY) <= (ancestor[name] ?? 0), `limit ${name}`)
}

import assert from 'node:assert/strict'
import { loadManifests } from '@firebreak/crds'
import fc from 'fast-check'
import type { Command, Touch } from './command.ts'
import type { Decision, PolicySnapshot, Subject } from './decision.ts'
import { compilePolicy } from './snapshot.ts'

interface Rule {
  name: string
  effect: 'allow' | 'deny' | 'requireApproval' | 'mask' | 'alert'
  match: { actions?: string[]; objects?: string[]; tags?: string[]; condition?: string }
  mask?: { strategy: string }
}

const classification = [
  { tags: ['pii/email'], columns: ['public.customers.email'] },
  { tags: ['pii/ssn'], columns: ['*.*.ssn'] },
]

/** Each group of rules is a policy of its own; a link of a chain gets the policies of its groups. */
function compile(
  policies: readonly { rules: readonly Rule[]; groups?: readonly string[] }[],
): PolicySnapshot {
  const documents = [
    {
      kind: 'ProtectedResource',
      metadata: { name: 'shop' },
      spec: {
        type: 'postgresql',
        address: 'h:1',
        classification,
        roles: [{ name: 'r', credential: { file: { path: 'x' } } }],
      },
    },
    ...['one', 'two'].map((name) => ({
      kind: 'AgentIdentity',
      metadata: { name },
      spec: { access: [{ resource: 'shop', roles: ['r'] }] },
    })),
    ...policies.map(({ rules, groups }, index) => ({
      kind: 'GuardrailPolicy',
      metadata: { name: `p${index}` },
      spec: {
        appliesTo: groups ? { groups } : {},
        rules: rules.map((rule, position) => ({ ...rule, name: `${rule.name}-${position}` })),
      },
    })),
  ].map((document) => JSON.stringify({ apiVersion: 'firebreak.dev/v1alpha1', ...document }))
  const { manifests, problems } = loadManifests([{ path: 'a', text: documents.join('\n---\n') }])
  assert.deepEqual(problems, [])
  const compiled = compilePolicy(manifests)
  assert.ok(compiled.ok)
  return compiled.snapshot
}

const subject: Subject = {
  chain: [{ identity: 'default/one', groups: ['g'] }],
  resource: 'default/shop',
  role: 'r',
}

function command(partial: Partial<Command>): Command {
  return {
    resourceType: 'postgresql',
    text: 't',
    touches: [],
    opaque: [],
    fields: [],
    indirectUses: [],
    facts: { sql: { restricted: true } },
    ...partial,
  }
}

const actions = ['sql:select', 'sql:update', 'sql:delete', 'sql:drop'] as const
const tables = ['customers', 'orders', 'carts'] as const
const touches = fc.record<Touch>({
  action: fc.constantFrom(...actions),
  object: fc.record({
    kind: fc.constant('table'),
    path: fc.constantFrom(...tables).map((table) => ['public', table]),
    parts: fc.subarray(['id', 'email', 'ssn']),
  }),
  origin: fc.constantFrom('direct', 'implied', 'baseline'),
})
const sources = fc.record({
  path: fc.constantFrom(...tables).map((table) => ['public', table]),
  part: fc.constantFrom('id', 'email', 'ssn'),
})
const commands = fc.record({
  touches: fc.array(touches, { minLength: 1, maxLength: 4 }),
  fields: fc.array(
    fc.record({
      label: fc.constant('f'),
      sources: fc.array(sources, { maxLength: 2 }),
      derivation: fc.constantFrom('copy' as const, 'derived' as const, 'unproven' as const),
    }),
    { maxLength: 3 },
  ),
  indirectUses: fc.array(fc.record({ source: sources, through: fc.constant('WHERE') }), { maxLength: 1 }),
  restricted: fc.boolean(),
})
const matches = fc.record(
  {
    actions: fc.subarray([...actions, 'sql:*'], { minLength: 1 }),
    objects: fc.subarray(['public.*', 'public.customers', 'public.customers.email', '*.orders'], {
      minLength: 1,
    }),
    tags: fc.subarray(['pii/*', 'pii/ssn'], { minLength: 1 }),
    condition: fc.constantFrom(
      'command.sql.restricted',
      '!command.sql.restricted',
      'command.sql.missing == 1',
    ),
  },
  { requiredKeys: [] },
)
const ruleOf = (effect: Rule['effect']): fc.Arbitrary<Rule> =>
  matches.map((match) => ({
    name: effect.toLowerCase(),
    effect,
    match,
    ...(effect === 'mask' && { mask: { strategy: 'redact' } }),
  }))
const anyRule = fc
  .constantFrom('allow', 'deny', 'requireApproval', 'mask')
  .chain((effect) => ruleOf(effect as Rule['effect']))
const ruleLists = fc.array(anyRule, { minLength: 1, maxLength: 6 })
const build = ({
  restricted,
  ...rest
}: {
  restricted: boolean
  touches: Touch[]
  fields: Command['fields']
  indirectUses: Command['indirectUses']
}): Command => command({ ...rest, facts: { sql: { restricted } } })

const severity = { allow: 0, hold: 1, deny: 2 }
const masked = (decision: Decision): readonly boolean[] =>
  decision.effect === 'deny' ? [] : decision.masks.map((mask) => mask !== undefined)

describe('policy', function () {
  this.timeout(180_000)

  it('never allows more for another deny rule', () => {
    fc.assert(
      fc.property(ruleLists, ruleOf('deny'), commands, (rules, deny, parts) => {
        const before = compile([{ rules }]).decide(subject, build(parts))
        const after = compile([{ rules: [...rules, deny] }]).decide(subject, build(parts))
        assert.ok(severity[after.effect] >= severity[before.effect])
      }),
      { numRuns: 150 },
    )
  })

  it('never unmasks for another mask rule', () => {
    fc.assert(
      fc.property(ruleLists, ruleOf('mask'), commands, (rules, mask, parts) => {
        const before = compile([{ rules }]).decide(subject, build(parts))
        const after = compile([{ rules: [...rules, mask] }]).decide(subject, build(parts))
        assert.ok(severity[after.effect] >= severity[before.effect])
        if (after.effect !== 'deny')
          masked(before).forEach((was, index) => {
            assert.ok(!was || masked(after)[index])
          })
      }),
      { numRuns: 150 },
    )
  })

  it('does not depend on the order of rules or policies', () => {
    fc.assert(
      fc.property(ruleLists, ruleLists, commands, (a, b, parts) => {
        const strip = (decision: Decision): unknown => [decision.effect, masked(decision)]
        const one = compile([{ rules: a }, { rules: b }]).decide(subject, build(parts))
        const other = compile([{ rules: [...b].reverse() }, { rules: [...a].reverse() }]).decide(
          subject,
          build(parts),
        )
        assert.deepEqual(strip(one), strip(other))
      }),
      { numRuns: 150 },
    )
  })

  it('never gives an opaque command more than the analysed one', () => {
    fc.assert(
      fc.property(ruleLists, commands, (rules, parts) => {
        const snapshot = compile([{ rules }])
        const analysed = snapshot.decide(subject, build(parts))
        const opaque = snapshot.decide(subject, { ...build(parts), opaque: ['something'] })
        assert.ok(severity[opaque.effect] >= severity[analysed.effect])
      }),
      { numRuns: 200 },
    )
  })

  it('decides what is still to be found out as strictly as whatever it turns out to be', () => {
    const conditions = fc.constantFrom(
      '"sql:drop" in command.actions',
      '!("sql:drop" in command.actions)',
      '!command.objects.exists(object, object.contains("orders"))',
      'command["obj" + "ects"].size() < 2',
      'command.sql.tables.all(table, table == "orders")',
      '!has(command.sql.tables)',
      'command.sql.restricted',
    )
    const conditional = fc
      .tuple(anyRule, fc.option(conditions, { nil: undefined }))
      .map(([rule, condition]) =>
        condition === undefined ? rule : { ...rule, match: { ...rule.match, condition } },
      )
    const rulesLists = fc.array(conditional, { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(
        rulesLists,
        commands,
        fc.array(fc.tuple(touches, fc.boolean()), { minLength: 1, maxLength: 4 }),
        fc.subarray(['orders', 'carts']),
        (rules, parts, possible, found) => {
          const snapshot = compile([{ rules }])
          const base = build(parts)
          const unsettled = ['actions', 'objects', 'sql.tables']
          const worst = snapshot.decide(subject, {
            ...base,
            touches: [...base.touches, ...possible.map(([touch]) => touch)],
            unsettled,
          })
          const real = snapshot.decide(subject, {
            ...base,
            touches: [...base.touches, ...possible.filter(([, isSo]) => isSo).map(([touch]) => touch)],
            facts: { sql: { restricted: parts.restricted, ...(found.length > 0 && { tables: found }) } },
          })
          assert.ok(severity[worst.effect] >= severity[real.effect])
        },
      ),
      { numRuns: 500 },
    )
  })

  it('goes by conditions that ask for nothing that is still to be found out', () => {
    const snapshot = compile([
      {
        rules: [
          { name: 'a', effect: 'allow', match: { condition: 'command.sql.restricted' } },
          { name: 'b', effect: 'deny', match: { condition: '"sql:drop" in command.actions' } },
        ],
      },
    ])
    const asked = command({
      touches: [{ action: 'sql:select', object: { kind: 'table', path: ['t'] }, origin: 'direct' }],
    })
    const effectOf = (unsettled: readonly string[]): string =>
      snapshot.decide(subject, { ...asked, unsettled }).effect
    assert.equal(effectOf(['sql.tables']), 'allow')
    assert.equal(effectOf(['actions']), 'deny')
    assert.equal(effectOf(['sql.restricted']), 'deny')
  })

  it('never gives a chain more than any of its links', () => {
    fc.assert(
      fc.property(ruleLists, ruleLists, commands, (a, b, parts) => {
        const snapshot = compile([
          { rules: a, groups: ['a'] },
          { rules: b, groups: ['b'] },
        ])
        const link = (identity: 'default/one' | 'default/two', group: string): Subject['chain'][0] => ({
          identity,
          groups: [group],
        })
        const alone = [link('default/one', 'a'), link('default/two', 'b')].map((principal) =>
          snapshot.decide({ ...subject, chain: [principal] }, build(parts)),
        )
        const together = snapshot.decide(
          { ...subject, chain: [link('default/one', 'a'), link('default/two', 'b')] },
          build(parts),
        )
        for (const decision of alone) {
          assert.ok(severity[together.effect] >= severity[decision.effect])
          if (together.effect !== 'deny')
            masked(decision).forEach((was, index) => {
              assert.ok(!was || masked(together)[index])
            })
        }
      }),
      { numRuns: 150 },
    )
  })

  const scopes = fc.record(
    {
      actions: fc.subarray([...actions, 'sql:*'], { minLength: 1 }),
      objects: fc.subarray(['public.*', 'public.customers', 'public.customers.email'], { minLength: 1 }),
    },
    { requiredKeys: [] },
  )

  it('never gives a link more for a scope, nor anything outside of it', () => {
    fc.assert(
      fc.property(ruleLists, scopes, commands, fc.boolean(), (rules, scope, parts, opaque) => {
        const snapshot = compile([{ rules }])
        const asked = { ...build(parts), opaque: opaque ? ['something'] : [] }
        const [principal] = subject.chain
        const whole = snapshot.decide(subject, asked)
        const scoped = snapshot.decide({ ...subject, chain: [{ ...principal, scope }] }, asked)
        assert.ok(severity[scoped.effect] >= severity[whole.effect])
        const inScope = ({ action, origin }: Touch): boolean =>
          origin === 'baseline' ||
          (scope.actions ?? ['sql:*']).some((allowed) => allowed === 'sql:*' || allowed === action)
        if (scoped.effect !== 'deny' && !opaque) assert.ok(asked.touches.every(inScope))
      }),
      { numRuns: 200 },
    )
  })

  it('lets an elevation lift what is not allowed or held, never a deny rule or a mask', () => {
    fc.assert(
      fc.property(ruleLists, scopes, commands, (rules, grant, parts) => {
        const [principal] = subject.chain
        const elevation = { request: 'a', rule: { policy: 'default/p0', rule: 'e' }, ...grant } as const
        const elevated = { ...subject, chain: [{ ...principal, elevations: [elevation] }] } as const
        const before = compile([{ rules }]).decide(subject, build(parts))
        const after = compile([{ rules }]).decide(elevated, build(parts))
        if (grant.actions === undefined) assert.equal(after.effect, before.effect)
        assert.ok(severity[after.effect] <= severity[before.effect])
        const ruleDenies = before.effect === 'deny' && before.rule !== undefined
        if (ruleDenies) assert.equal(after.effect, 'deny')
        if (after.effect !== 'deny' && before.effect !== 'deny')
          assert.deepEqual(masked(after), masked(before))
      }),
      { numRuns: 200 },
    )
  })

  it('asks the people of every rule and of every link that holds a command', () => {
    const hold = (name: string): Rule => ({
      name,
      effect: 'requireApproval',
      match: { actions: ['sql:delete'] },
    })
    const allow: Rule = { name: 'a', effect: 'allow', match: {} }
    const snapshot = compile([
      { rules: [allow, hold('x'), hold('y')], groups: ['a'] },
      { rules: [allow, hold('z')], groups: ['b'] },
    ])
    const decision = snapshot.decide(
      {
        ...subject,
        chain: [
          { identity: 'default/one', groups: ['a'] },
          { identity: 'default/two', groups: ['b'] },
        ],
      },
      command({
        touches: [
          { action: 'sql:delete', origin: 'direct', object: { kind: 'table', path: ['public', 'carts'] } },
        ],
      }),
    )
    assert.ok(decision.effect === 'hold')
    assert.deepEqual(
      decision.approval.requirements.map(({ rule }) => rule.rule),
      ['x-1', 'y-2', 'z-1'],
    )
  })

  const read = (parts?: string[], table = 'customers'): Command =>
    command({
      touches: [
        {
          action: 'sql:select',
          origin: 'direct',
          object: { kind: 'table', path: ['public', table], ...(parts && { parts }) },
        },
      ],
    })
  const table: readonly [
    name: string,
    rules: Rule[],
    command: Command,
    effect: Decision['effect'],
    reason: RegExp,
  ][] = [
    [
      'nothing is allowed without a rule',
      [],
      read(['id']),
      'deny',
      /no rule allows sql:select on table public.customers \(id\)/,
    ],
    [
      'a rule for a table covers its columns',
      [{ name: 'a', effect: 'allow', match: { objects: ['public.customers'] } }],
      read(['id', 'ssn']),
      'allow',
      /allowed/,
    ],
    [
      'a rule for one column does not cover another',
      [{ name: 'a', effect: 'allow', match: { objects: ['public.customers.id'] } }],
      read(['id', 'ssn']),
      'deny',
      /no rule allows/,
    ],
    [
      'two rules may cover together',
      [
        { name: 'a', effect: 'allow', match: { objects: ['public.customers.id'] } },
        { name: 'b', effect: 'allow', match: { objects: ['public.customers.ssn'] } },
      ],
      read(['id', 'ssn']),
      'allow',
      /allowed/,
    ],
    [
      'a rule for a column lets rows be counted',
      [{ name: 'a', effect: 'allow', match: { objects: ['public.customers.id'] } }],
      read([]),
      'allow',
      /allowed/,
    ],
    [
      'a rule for a column does not let rows be deleted',
      [{ name: 'a', effect: 'allow', match: { objects: ['public.customers.id'] } }],
      command({
        touches: [
          {
            action: 'sql:delete',
            origin: 'direct',
            object: { kind: 'table', path: ['public', 'customers'] },
          },
        ],
      }),
      'deny',
      /no rule allows sql:delete/,
    ],
    [
      'a denied column denies the whole row',
      [
        { name: 'a', effect: 'allow', match: {} },
        { name: 'b', effect: 'deny', match: { objects: ['public.customers.ssn'] } },
      ],
      read(['id', 'ssn']),
      'deny',
      /\(ssn\) is denied/,
    ],
    [
      'a tag denies what it is on',
      [
        { name: 'a', effect: 'allow', match: {} },
        { name: 'b', effect: 'deny', match: { tags: ['pii/ssn'] } },
      ],
      read(['ssn'], 'orders'),
      'deny',
      /public.orders \(ssn\) is denied/,
    ],
    [
      'a condition that fails denies',
      [
        { name: 'a', effect: 'allow', match: {} },
        { name: 'b', effect: 'deny', match: { condition: 'command.sql.nothing > 1' } },
      ],
      read(['id']),
      'deny',
      /is denied/,
    ],
    [
      'a condition that fails does not allow',
      [{ name: 'a', effect: 'allow', match: { condition: 'command.sql.nothing > 1' } }],
      read(['id']),
      'deny',
      /no rule allows/,
    ],
    [
      'numbers can be compared',
      [{ name: 'a', effect: 'allow', match: { condition: 'command.sql.limit <= 10' } }],
      { ...read(['id']), facts: { sql: { limit: 5 } } },
      'allow',
      /allowed/,
    ],
    [
      'what is opaque needs a rule that allows everything',
      [{ name: 'a', effect: 'allow', match: { objects: ['public.*'] } }],
      { ...read(['id']), opaque: ['x'] },
      'deny',
      /x; what can't be analysed/,
    ],
    [
      'a rule for everything of another protocol allows nothing of this one',
      [{ name: 'a', effect: 'allow', match: { actions: ['k8s:*'] } }],
      { ...read(['id']), opaque: ['x'] },
      'deny',
      /x; what can't be analysed/,
    ],
    [
      'a rule for everything of this protocol allows what is opaque',
      [{ name: 'a', effect: 'allow', match: { actions: ['k8s:*', 'sql:*'] } }],
      { ...read(['id']), opaque: ['x'] },
      'allow',
      /allowed/,
    ],
    [
      'a deny rule is taken to match what is opaque',
      [
        { name: 'a', effect: 'allow', match: {} },
        { name: 'b', effect: 'deny', match: { actions: ['sql:drop', 'sql:alter'] } },
      ],
      { ...read(['id']), opaque: ['x'] },
      'deny',
      /x, which can't be proven not to drop or alter/,
    ],
  ]
  for (const [name, rules, asked, effect, reason] of table) {
    it(name, () => {
      const decision = compile([{ rules }]).decide(subject, asked)
      assert.equal(decision.effect, effect)
      assert.match(decision.reason, reason)
    })
  }

  it('refuses a condition that is not CEL, and says where', () => {
    const text = JSON.stringify({
      apiVersion: 'firebreak.dev/v1alpha1',
      kind: 'GuardrailPolicy',
      metadata: { name: 'p' },
      spec: { rules: [{ name: 'x', effect: 'deny', match: { condition: 'comand.sql ==' } }] },
    })
    const compiled = compilePolicy(loadManifests([{ path: 'a', text }]).manifests)
    assert.ok(!compiled.ok)
    assert.equal(compiled.problems[0]?.field, 'spec.rules[0].match.condition')
  })
})

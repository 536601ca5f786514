/** Whatever the policies are: a decision that differs is told, and where none does, nothing is. */
import assert from 'node:assert/strict'
import { type GuardrailPolicy, loadManifests, type ManifestSet } from '@firebreak/crds'
import {
  type Command,
  compilePolicy,
  type Decision,
  nameCovers,
  type PolicySnapshot,
  type Subject,
} from '@firebreak/policy'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { type Change, type Comparison, compare } from './compare.ts'
import { differenceOf } from './difference.ts'

type Rule = NonNullable<GuardrailPolicy['spec']['rules']>[number]

const apiVersion = 'firebreak.dev/v1alpha1'
const actions = ['sql:select', 'sql:insert', 'sql:delete', 'sql:drop']
const tables = ['orders', 'users', '*']
const columns = ['id', 'ssn', '*']
/** Conditions of which each can turn out in each way, whatever the others do; and one about the one who asks. */
const conditions = ['command.sql.restricted', '!command.sql.limited', 'role == "writer"']

const rule: fc.Arbitrary<Omit<Rule, 'name'>> = fc
  .record({
    effect: fc.constantFrom('allow', 'allow', 'deny', 'requireApproval', 'mask', 'alert'),
    actions: fc.option(fc.uniqueArray(fc.constantFrom(...actions, 'sql:*', 'sql:d*'), { minLength: 1 })),
    objects: fc.option(
      fc.uniqueArray(
        fc.constantFrom('public.orders', 'public.*', '*', '*.users', 'public.users.ssn', 'public.o*', 'app'),
        { minLength: 1, maxLength: 2 },
      ),
    ),
    tags: fc.option(fc.constant(['pii']), { freq: 4 }),
    condition: fc.option(fc.constantFrom(...conditions)),
    strategy: fc.constantFrom('redact', 'hash'),
  })
  .map(({ effect, strategy, ...match }) => ({
    effect: effect as Rule['effect'],
    match: Object.fromEntries(Object.entries(match).filter(([, value]) => value !== null)),
    ...(effect === 'mask' && { mask: { strategy: strategy as 'redact', indirectUse: 'deny' as const } }),
  }))

const side = fc.record({
  policies: fc.array(
    fc.record({
      identities: fc.option(fc.constantFrom(['etl'], ['bot'])),
      roles: fc.option(fc.constantFrom(['reader'], ['writer'])),
      rules: fc.array(rule, { maxLength: 4 }),
    }),
    { maxLength: 2 },
  ),
  suspend: fc.boolean().map((suspended) => suspended && undefined),
  access: fc.constantFrom(['reader'], ['reader', 'writer']),
  classified: fc.constantFrom('public.users.ssn', 'public.users.*', 'app.users.id'),
})

function manifestsOf({
  policies,
  access,
  classified,
}: typeof side extends fc.Arbitrary<infer S> ? S : never): ManifestSet {
  const objects = [
    {
      apiVersion,
      kind: 'ProtectedResource',
      metadata: { name: 'db' },
      spec: {
        type: 'postgresql',
        address: 'db:5432',
        roles: ['reader', 'writer'].map((name) => ({ name, credential: { env: { password: 'P' } } })),
        classification: [{ tags: ['pii'], columns: [classified] }],
      },
    },
    ...['etl', 'bot'].map((name) => ({
      apiVersion,
      kind: 'AgentIdentity',
      metadata: { name },
      spec: { access: [{ resource: 'db', roles: access }] },
    })),
    ...policies.map(({ identities, roles, rules }, index) => ({
      apiVersion,
      kind: 'GuardrailPolicy',
      metadata: { name: `policy-${index}` },
      spec: {
        appliesTo: { ...(identities && { identities }), ...(roles && { roles }) },
        rules: rules.map((each, position) => ({ name: `rule-${position}`, ...each })),
      },
    })),
  ]
  const text = objects.map((object) => stringify(object)).join('---\n')
  const { manifests, problems } = loadManifests([{ path: 'a.yaml', text }])
  assert.deepEqual(problems, [])
  return manifests
}

interface Asked {
  readonly subject: Subject
  readonly command: Command
  /** As compare() names it. */
  readonly name: string
}

/** Commands as an analysis would make them, with facts as they can be. */
function* everythingAsked(): Generator<Asked> {
  const truths = [true, false, undefined]
  for (const identity of ['etl', 'bot'])
    for (const role of ['reader', 'writer']) {
      const subject: Subject = {
        chain: [{ identity: `default/${identity}`, groups: [] }],
        resource: 'default/db',
        role,
      }
      for (const action of actions)
        for (const schema of ['public', 'app', '*'])
          for (const table of tables)
            for (const column of ['sql:select', 'sql:insert'].includes(action) ? columns : [undefined])
              for (const restricted of truths)
                for (const limited of truths) {
                  const path = [schema, table]
                  const sql = {
                    ...(restricted !== undefined && { restricted }),
                    ...(limited !== undefined && { limited }),
                  }
                  const parts = column === undefined ? {} : { parts: [column] }
                  const command: Command = {
                    resourceType: 'postgresql',
                    text: '',
                    touches: [{ action, object: { kind: 'table', path, ...parts }, origin: 'direct' }],
                    opaque: [],
                    fields:
                      action === 'sql:select' && column !== undefined
                        ? [{ label: column, sources: [{ path, part: column }], derivation: 'copy' }]
                        : [],
                    indirectUses: [],
                    facts: { sql },
                  }
                  yield {
                    subject,
                    command,
                    name: [...path, ...(column === undefined ? [] : [column])].join('.'),
                  }
                }
    }
}

function compiled(manifests: ManifestSet): PolicySnapshot {
  const result = compilePolicy(manifests)
  assert.ok(result.ok)
  return result.snapshot
}

function essence(decision: Decision): string {
  const masks = decision.effect === 'deny' ? [] : decision.masks.map((mask) => mask?.strategy)
  return JSON.stringify([decision.effect, masks.filter((mask) => mask), decision.alerts.length > 0])
}

/** Whether a change is about something that stands for what was asked. */
function isAbout({ asker, ask }: Change, { subject, command, name }: Asked): boolean {
  const [touch] = command.touches
  return (
    ask.kind === 'action' &&
    `default/${asker.identity}` === subject.chain[0].identity &&
    asker.role === subject.role &&
    ask.action === touch?.action &&
    nameCovers(ask.object.name, name)
  )
}

function isTold(asked: Asked, { access, changes }: Comparison): boolean {
  return (
    access.some(
      ({ asker }) =>
        `default/${asker.identity}` === asked.subject.chain[0].identity && asker.role === asked.subject.role,
    ) || changes.some((change) => isAbout(change, asked))
  )
}

describe('What firebreak diff tells', function () {
  this.timeout(600_000)

  it('is every decision that differs', () => {
    fc.assert(
      fc.property(side, side, (before, after) => {
        const [old, now] = [manifestsOf(before), manifestsOf(after)]
        const [first, second] = [compiled(old), compiled(now)]
        const comparison = compare(old, now)
        for (const asked of everythingAsked()) {
          const decisions = [first, second].map((snapshot) => snapshot.decide(asked.subject, asked.command))
          const [was, is] = decisions.map(essence)
          if (was !== is) assert.ok(isTold(asked, comparison), JSON.stringify([asked, decisions]))
        }
        assert.equal(
          differenceOf(old, now).changes.length > 0,
          comparison.access.length + comparison.changes.length > 0,
        )
      }),
      { numRuns: 150 },
    )
  })

  it('is nothing where no decision differs: the order and the names of rules and policies mean nothing', () => {
    fc.assert(
      fc.property(side, (one) => {
        const policies = one.policies.map(({ rules, ...policy }) => ({
          ...policy,
          rules: rules.toReversed(),
        }))
        // what is said twice is said once
        const twice = [...policies, ...policies].toReversed()
        const comparison = compare(manifestsOf(one), manifestsOf({ ...one, policies: twice }))
        assert.deepEqual(comparison, { access: [], changes: [], incomplete: [] })
      }),
      { numRuns: 100 },
    )
  })

  it('is only what differs: each change is a decision that differs in some world', () => {
    fc.assert(
      fc.property(side, side, (before, after) => {
        const [old, now] = [manifestsOf(before), manifestsOf(after)]
        const [first, second] = [compiled(old), compiled(now)]
        const { changes } = compare(old, now)
        const asked = [...everythingAsked()]
        for (const change of changes) {
          const { ask } = change
          const own =
            ask.kind === 'action'
              ? asked.filter((each) => isAbout(change, each) && ask.object.name === each.name)
              : []
          if (own.length === 0) continue
          assert.ok(
            own.some(
              ({ subject, command }) =>
                essence(first.decide(subject, command)) !== essence(second.decide(subject, command)),
            ),
            JSON.stringify(change),
          )
        }
      }),
      { numRuns: 150 },
    )
  })
})

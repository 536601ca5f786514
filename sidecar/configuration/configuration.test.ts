import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { httpManifests } from '../../test/http-shop.ts'
import { manifests } from '../../test/policies.ts'
import { loadConfiguration } from './configuration.ts'

const rule = (match: string): string => `    - {name: r, match: ${match}, effect: deny}\n`

describe('A directory of manifests', () => {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-configuration-'))
  after(() => rmSync(directory, { recursive: true }))

  function problemsOf(
    options: Partial<Parameters<typeof manifests>[0]>,
    change = (text: string) => text,
  ): string[] {
    writeFileSync(join(directory, 'a.yaml'), change(manifests({ address: 'h:1', ...options })))
    return loadConfiguration(directory).problems.map(
      ({ severity, location, field, message }) => `${location.line} ${severity} ${field}: ${message}`,
    )
  }

  const classification = '[{tags: [pii/ssn], columns: [public.customers.ssn]}]'

  it('is refused for an action that does not exist: a deny rule for it would deny nothing', () => {
    assert.deepEqual(problemsOf({ rules: rule('{actions: ["sql:select", "sql:tuncate"]}') }), [
      '22 error spec.rules[0].match.actions[1]: there is no action sql:tuncate; did you mean sql:truncate?',
    ])
    assert.deepEqual(problemsOf({ rules: rule('{actions: [drop]}') }), [
      '22 error spec.rules[0].match.actions[0]: expected an action such as sql:select, or sql:*, found "drop"',
    ])
    assert.deepEqual(problemsOf({ rules: rule('{actions: ["*", "sql:*", "sql:alter*", "k8s:create"]}') }), [])
  })

  it('is refused for a mask that is about a path, and warned of one about fields that nothing has', () => {
    const masking = (objects: string): string =>
      `    - {name: x, match: {objects: ${objects}}, effect: mask, mask: {strategy: redact}}\n`
    const of = (text: string): string[] => {
      writeFileSync(join(directory, 'a.yaml'), text)
      return loadConfiguration(directory).problems.map(({ severity, field }) => `${severity} ${field}`)
    }
    const inHttp = (objects: string): string[] =>
      of(httpManifests({ address: 'shop:443', rules: masking(objects) }))
    const inDatabase = (objects: string): string[] =>
      of(manifests({ address: '127.0.0.1:5432', rules: masking(objects) }))
    const [first, second] = ['spec.rules[0].match.objects[0]', 'spec.rules[0].match.objects[1]']
    assert.deepEqual(inHttp('[/users, $.email]'), [`error ${first}`])
    assert.deepEqual(inDatabase('[/users]'), [`error ${first}`])
    assert.deepEqual(inHttp('[$.users.email, public.users.email]'), [`warning ${second}`])
    assert.deepEqual(inDatabase('[public.users.email, $.users.email]'), [`warning ${second}`])
    for (const objects of ['[$]', '["*"]', '["**"]', '["*.email"]', '["$.*"]'])
      assert.deepEqual(inHttp(objects), [], objects)
    const both = httpManifests({ address: 'shop:443', rules: masking('[$.email, public.users]') })
    const database = manifests({ address: 'db:5432' }).split('---\n')[0]?.replace('name: shop', 'name: db')
    assert.deepEqual(of(`${both}---\n${database}`), [])
  })

  it('is refused for an action that nothing spoken over HTTP has, and warned of what only one server may have', () => {
    const of = (...actions: string[]) =>
      problemsOf({ rules: rule(`{actions: ${JSON.stringify(actions)}}`) }).map((line) =>
        line.replace(/^\d+ (\w+) .*?: /, '$1: '),
      )
    assert.deepEqual(of('graphql:mutaton.deleteUser'), [
      'error: there is no action graphql:mutaton.deleteUser; did you mean graphql:mutation.deleteUser?',
    ])
    assert.deepEqual(of('grpc:shop.v1.Orders.Delete'), [
      'error: there is no action grpc:shop.v1.Orders.Delete',
    ])
    assert.deepEqual(of('mcp:tool/call.search', 'mcp:x-shop/count'), [
      'warning: there is no action mcp:tool/call.search; did you mean mcp:tools/call.search?',
      'warning: there is no action mcp:x-shop/count',
    ])
    assert.deepEqual(
      of(
        'graphql:*',
        'graphql:query.user',
        'graphql:*.delete*',
        'grpc:*',
        'grpc:shop.v1.Orders/Delete',
        'grpc:*/Delete*',
        'mcp:tools/*',
        'mcp:tools/call.a.b',
        'mcp:*.search',
      ),
      [],
    )
  })

  it('is refused for a fact that no command has: a condition on it is never what it says', () => {
    const condition = (text: string): string[] =>
      problemsOf({ rules: rule(`{actions: ["sql:delete"], condition: '${text}'}`) })
    const refused = '22 error spec.rules[0].match.condition: there is no'
    assert.deepEqual(condition('!command.sql.restrcted'), [
      `${refused} command.sql.restrcted; did you mean command.sql.restricted?`,
    ])
    assert.deepEqual(condition('command["sql"].tabels.exists(t, t.startsWith("x")) && role == "r"'), [
      `${refused} command.sql.tabels; did you mean command.sql.tables?`,
    ])
    assert.deepEqual(
      condition('command.mcp.tool == "a" || command.graphql.deph > 3 || command.body.feilds == []'),
      [
        `${refused} command.mcp.tool; did you mean command.mcp.tools?`,
        `${refused} command.graphql.deph; did you mean command.graphql.depth?`,
        `${refused} command.body.feilds; did you mean command.body.fields?`,
      ],
    )
    assert.deepEqual(condition('has(command.sq.kind) || identity.group == ["a"]'), [
      `${refused} command.sq; did you mean command.sql?`,
      `${refused} identity.group; did you mean identity.groups?`,
    ])
    for (const right of [
      'command.sql.kind == "delete" && !command.sql.restricted',
      'command.sql.tables.exists(t, t == "public.x") && command.sql.joins < 2 && command.sql.functions.size() > 0',
      'has(command.sql.limit) && command.sql.limit <= 10 && command.sql.limited',
      '"support" in identity.groups && identity.name == "bot" && resource == "shop" && command.actions.size() > 1',
      'command.k8s.verb == "get" || command.objects[0] == "a" || command.sql.schemas == []',
    ])
      assert.deepEqual(condition(right), [], right)
  })

  it('has warnings for tags and groups that nobody carries', () => {
    assert.deepEqual(problemsOf({ classification, rules: rule('{tags: ["pii/ssm", "pii/*"]}') }), [
      '23 warning spec.rules[0].match.tags[0]: nothing is classified as pii/ssm; did you mean pii/ssn?',
    ])
    assert.deepEqual(
      problemsOf({}, (text) => text.replace('  rules:', '  appliesTo: {groups: [suport]}\n  rules:')),
      ['21 warning spec.appliesTo.groups[0]: no identity is in the group suport'],
    )
  })

  it('is told one fault once, not again where its name is used', () => {
    const rules = rule('{tags: [pii/ssn]}')
    assert.deepEqual(
      problemsOf({ classification, rules }, (text) => text.replace('address: h:1', 'address: h')),
      ['6 error spec.address: expected host:port, found "h"'],
    )
  })

  it('is refused with the file that can not be read', () => {
    const missing = join(directory, 'nowhere')
    assert.deepEqual(
      loadConfiguration(missing).problems.map(({ location, message }) => [location.file, message]),
      [[missing, "it can't be read: there is no such file or directory"]],
    )
    const dangling = join(directory, 'b.yaml')
    symlinkSync('nowhere', dangling)
    const { configuration, problems } = loadConfiguration(directory)
    assert.equal(configuration, undefined)
    assert.equal(problems[0]?.location.file, dangling)
    rmSync(dangling)
  })
})

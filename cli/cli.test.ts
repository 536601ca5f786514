import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { manifests } from '../test/policies.ts'
import { Shop } from '../test/shop.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

function firebreak(...words: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], {
    encoding: 'utf8',
    timeout: 300_000,
  })
  return { status, out: stdout, err: stderr }
}

describe('firebreak', function () {
  this.timeout(600_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-cli-'))
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('shows help for itself and for every command', () => {
    const { status, out } = firebreak('--help')
    assert.equal(status, 0)
    for (const command of ['run', 'check', 'explain', 'demo', 'completion']) {
      assert.match(out, new RegExp(`^  ${command} `, 'm'))
      assert.match(firebreak(command, '--help').out, /^Usage: firebreak/m)
    }
  })

  it('shows help for a command of a command', () => {
    for (const command of ['list', 'search', 'export', 'verify', 'delete']) {
      const { status, out } = firebreak('sessions', command, '--help')
      assert.equal(status, 0)
      assert.match(out, new RegExp(`^Usage: firebreak sessions ${command}`, 'm'))
      assert.equal(out.match(/^Usage: /gm)?.length, 1)
    }
    assert.match(firebreak('sessions', '--help').out, /^ {2}list {5,}/m)
    assert.match(firebreak('sessions', 'list', '--nonsense').err, /^Try firebreak sessions list --help\.$/m)
  })

  it('ends with 2 when it is used wrongly, and says how', () => {
    for (const words of [
      [],
      ['frobnicate'],
      ['check'],
      ['run'],
      ['run', '--nonsense'],
      ['run', '--config', 'x', '--listen', 'y'],
      ['explain', 'a'],
      ['completion', 'tcsh'],
    ]) {
      const { status, err } = firebreak(...words)
      assert.equal(status, 2, words.join(' '))
      if (words.length > 0) assert.match(err, /^error: .+\nTry firebreak (\w+ )?--help\.$/m)
    }
  })

  it('checks a directory, with the place of each problem', () => {
    writeFileSync(join(directory, 'a.yaml'), manifests({ address: 'h:1' }))
    assert.match(
      firebreak('check', directory).out,
      /^valid: 1 identities, 1 resources, 1 policies, revision [0-9a-f]{12}$/m,
    )
    writeFileSync(
      join(directory, 'a.yaml'),
      manifests({ address: 'h:1' }).replace('effect: allow', 'efect: allow'),
    )
    const { status, out } = firebreak('check', directory)
    assert.equal(status, 1)
    assert.match(
      out,
      /^a\.yaml:\d+:\d+: error: GuardrailPolicy default\/guard spec\.rules\[0\]\.efect: unknown field efect; did you mean effect\?\n {4}.+\n +\^/m,
    )
    assert.equal(JSON.parse(firebreak('check', '--json', directory).out).valid, false)
    const run = firebreak('run', '--config', directory)
    assert.equal(run.status, 1)
    assert.match(run.err, /nothing is served/)
    assert.ok(!out.includes('\u001b['), 'colours are for terminals')
  })

  it('explains a decision without running the command', async () => {
    await using shop = await Shop.start()
    await shop.create('shop')
    const rules =
      '    - {name: read, match: {actions: ["sql:select"], objects: ["public.*"]}, effect: allow}\n    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}\n    - {name: keep, match: {actions: ["sql:delete"]}, effect: deny, message: Ask a person.}\n'
    writeFileSync(
      join(directory, 'a.yaml'),
      manifests({
        address: `127.0.0.1:${shop.postgres.port}`,
        database: 'shop',
        rules,
        classification: '[{tags: [pii/ssn], columns: [public.customers.ssn]}]',
        more: `---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: administrators}
spec:
  appliesTo: {groups: [dba]}
  rules: [{name: truncate, match: {actions: ["sql:truncate"]}, effect: allow}]
`,
      }),
    )
    process.env.SHOP_PASSWORD = shop.postgres.password
    const allowed = firebreak(
      'explain',
      '--config',
      directory,
      'tester',
      'shop',
      '--',
      'select name, ssn as x from customers',
    )
    assert.equal(allowed.status, 0, allowed.err)
    assert.match(allowed.out, /^allow {2}policy default\/guard, rule read$/m)
    assert.match(
      allowed.out,
      /masked: x \(redact, policy default\/guard, rule hide\) from public\.customers\.ssn/,
    )
    const denied = firebreak('explain', '--config', directory, 'tester', 'shop', '--', 'delete from orders')
    assert.equal(denied.status, 1)
    assert.match(
      denied.out,
      /^deny {3}policy default\/guard, rule keep\n {7}sql:delete on table public\.orders is denied\n {7}"Ask a person\."$/m,
    )
    const truncate = ['tester', 'shop', '--', 'truncate carts']
    assert.equal(firebreak('explain', '--config', directory, ...truncate).status, 1)
    const proven = firebreak('explain', '--config', directory, '--group', 'dba', ...truncate)
    assert.match(proven.out, /^allow {2}policy default\/administrators, rule truncate$/m)
    assert.equal((await shop.admin('shop', 'SELECT count(*) FROM orders')).rows[0].count, '3')
  })

  it('shows the demo, in which every guard holds', () => {
    const { status, out, err } = firebreak('demo', '--no-wait')
    assert.equal(status, 0, out + err)
    assert.match(out, /ERROR: denied by policy default\/orders-guardrails, rule no-schema-changes/)
    assert.match(out, /\*{7}6789/)
    assert.match(out, /The audit trail has a line for every command/)
  })

  it('explains requests of HTTP and Kubernetes APIs, from the command line and from the standard input', () => {
    const examples = fileURLToPath(new URL('../examples/http-api', import.meta.url))
    const crm = (...words: string[]) => firebreak('explain', '--config', examples, ...words)
    const denied = crm('support-bot', 'crm', '--', 'DELETE /v1/customers/42')
    assert.equal(denied.status, 1)
    assert.match(
      denied.out,
      /^deny {3}policy default\/crm-guardrails, rule nothing-is-deleted\n {7}http:delete on path/m,
    )
    const override = ['-H', 'X-HTTP-Method-Override: DELETE', '-d', '{"note": "x"}']
    const disguised = crm(...override, 'support-bot', 'crm', '--', 'POST', '/v1/customers/42/notes')
    assert.match(disguised.out, /rule nothing-is-deleted/)
    const whole =
      'POST /v1/customers/42/notes HTTP/1.1\r\nHost: crm\r\nContent-Type: application/json\r\n\r\n{"note": "x"}'
    const words = ['explain', '--config', examples, 'support-bot', 'crm', '--', '-']
    const allowed = spawnSync(process.execPath, [main, ...words], { encoding: 'utf8', input: whole })
    assert.match(allowed.stdout, /^allow/, allowed.stderr)

    const cluster = mkdtempSync(join(tmpdir(), 'firebreak-cli-cluster-'))
    try {
      const text = readFileSync(new URL('../attacks/kubernetes-policy/policy.yaml', import.meta.url), 'utf8')
      writeFileSync(
        join(cluster, 'a.yaml'),
        text.replace('ADDRESS', '127.0.0.1:1').replace(', ca: { file: { path: ca.crt } }', ''),
      )
      const api = (...more: string[]) => firebreak('explain', '--config', cluster, ...more)
      const gone = api('intruder', 'cluster', '--', 'DELETE /api/v1/namespaces/prod/pods/x')
      assert.equal(gone.status, 0, gone.err)
      assert.match(gone.out, /k8s:delete on \S+ prod\.pods\.x$/m)
      const elsewhere = api('intruder', 'cluster', '--', 'DELETE /api/v1/namespaces/kube-system/pods/x')
      assert.match(elsewhere.out, /^deny/)
      const patch = [
        '-H',
        'Content-Type: application/merge-patch+json',
        '-d',
        '{"spec":{"hostNetwork":true}}',
      ]
      const reaching = api(...patch, 'intruder', 'cluster', '--', 'PATCH /api/v1/namespaces/prod/pods/x')
      assert.match(reaching.out, /k8s:hostAccess/)
      const patched = (body: string) =>
        api(
          ...patch.slice(0, 2),
          '-d',
          body,
          'intruder',
          'cluster',
          '--',
          'PATCH /api/v1/namespaces/prod/pods/x',
        )
      const image = patched('{"spec":{"containers":[{"name":"c","image":"i"}]}}')
      assert.match(image.out, /^allow .*\n {7}what the request makes of the object is not known here/)
      const label = patched('{"metadata":{"labels":{"a":"b"}}}')
      assert.ok(label.status === 0 && !label.out.includes('not known here'), label.out)
      const doubtful = api('intruder', 'cluster', '--', 'GET /api/v1//pods')
      assert.equal(doubtful.status, 1)
      mkdirSync(join(cluster, 'tests'))
      writeFileSync(
        join(cluster, 'tests', 'a.yaml'),
        `apiVersion: firebreak.dev/v1alpha1
kind: PolicyTest
manifests: ..
given: {identity: intruder, resource: cluster}
tests:
  - {name: pods of prod can go, command: DELETE /api/v1/namespaces/prod/pods/x, expect: {decision: allow, rule: keep-prod}}
  - {name: secrets stay unread, command: GET /api/v1/namespaces/prod/secrets/x, expect: {decision: deny, rule: no-secrets}}
`,
      )
      const tested = firebreak('test', cluster)
      assert.match(tested.out, /2 passed/, tested.err)
    } finally {
      rmSync(cluster, { recursive: true })
    }
  })

  it('completes its commands in bash', () => {
    const script = `${firebreak('completion', 'bash').out}\nCOMP_WORDS=(firebreak expl); COMP_CWORD=1; _firebreak; echo "\${COMPREPLY[@]}"`
    assert.equal(spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim(), 'explain')
  })
})

/** A directory and a cluster hold the same YAML. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ApiServer, startApiServer } from '../../test/api-server.ts'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

describe('A directory of manifests and a cluster', function () {
  this.timeout('4m')
  const home = mkdtempSync(join(tmpdir(), 'firebreak-export-'))
  let api: ApiServer

  before(async function () {
    this.timeout('45m')
    api = await startApiServer(['namespace'])
    await kubectl('create', 'namespace', 'agents')
    await kubectl('apply', '-f', file('../../examples/support-bot/firebreak.yaml'))
    await api.cluster.kubectl.apply(
      'apiVersion: v1\nkind: Secret\nmetadata: {name: orders-reader, namespace: agents}\nstringData: {username: r, password: p}',
    )
    await api.cluster.kubectl.apply(
      'apiVersion: v1\nkind: Secret\nmetadata: {name: of-somebody-else, namespace: agents}\nstringData: {key: k}',
    )
    await kubectl(
      'label',
      'guardrailpolicies',
      '--all',
      '-n',
      'agents',
      'team=orders',
      'kustomize.toolkit.fluxcd.io/name=x',
    )
  })
  after(async () => {
    rmSync(home, { recursive: true })
    await api?.[Symbol.asyncDispose]()
  })

  const kubectl = (...args: string[]): Promise<string> => api.cluster.kubectl.run(args)

  function firebreak(...words: string[]): { status: number | null; out: string; err: string } {
    const { status, stdout, stderr } = spawnSync(process.execPath, [file('../../cli/main.ts'), ...words], {
      encoding: 'utf8',
      env: { ...process.env, KUBECONFIG: api.cluster.kubeconfig },
      cwd: home,
    })
    return { status, out: stdout, err: stderr }
  }

  it('are the same after an export and an apply', async () => {
    const { status, out, err } = firebreak('export', '--namespace=agents', 'exported')
    assert.equal(status, 0, err)
    assert.equal(out, '3 manifests are in exported\n')
    const exported = join(home, 'exported')
    assert.deepEqual(readdirSync(exported), [
      'agents.agentidentity.support-bot.yaml',
      'agents.guardrailpolicy.orders-guardrails.yaml',
      'agents.protectedresource.orders-db.yaml',
    ])
    const texts = readdirSync(exported).map((name) => readFileSync(join(exported, name), 'utf8'))
    for (const text of texts)
      assert.doesNotMatch(
        text,
        /^status|managedFields|resourceVersion|uid|creationTimestamp|generation:|last-applied|fluxcd/m,
      )
    assert.match(texts[1] ?? '', /^ {4}team: orders$/m)
    assert.match(firebreak('check', 'exported').out, /^valid: 1 identities, 1 resources, 1 policies/m)

    const specs = (): Promise<string> =>
      kubectl('get', 'firebreak', '-n', 'agents', '-o', 'jsonpath={.items[*].spec}')
    const before = await specs()
    await kubectl('delete', 'firebreak', '--all', '-n', 'agents')
    await kubectl('apply', '-f', exported)
    assert.equal(await specs(), before)
    assert.equal(await kubectl('diff', '-f', exported), '')
    assert.equal(firebreak('diff', '--cluster', 'exported').status, 0)
  })

  it('are compared in words', () => {
    const policy = join(home, 'exported', 'agents.guardrailpolicy.orders-guardrails.yaml')
    const text = readFileSync(policy, 'utf8')
    writeFileSync(policy, text.replace('- public.*', '- public.orders'))
    const { status, out, err } = firebreak('diff', '--cluster', '--context', 'nowhere', 'exported')
    assert.equal(status, 2, out)
    assert.match(err, /the kubeconfig has no context nowhere; there is /)
    const changed = firebreak('diff', '--cluster', 'exported')
    assert.equal(changed.status, 1, changed.err)
    assert.match(changed.out, /^- agent agents\/support-bot loses select on public\.\* but public\.orders/m)
    writeFileSync(policy, text)
  })

  it('share Secrets only when that is said, and only those that are referred to', () => {
    const { status, err } = firebreak('export', '--namespace=agents', '--secrets', 'with-secrets')
    assert.equal(status, 0, err)
    const names = readdirSync(join(home, 'with-secrets')).filter((name) => name.includes('secret'))
    assert.deepEqual(names, ['agents.secret.orders-reader.yaml'])
    const path = join(home, 'with-secrets', names[0] ?? '')
    assert.equal(statSync(path).mode & 0o077, 0)
    assert.match(readFileSync(path, 'utf8'), /^ {2}password: cA==$/m)
    assert.equal(firebreak('check', 'with-secrets').status, 0)
  })
})

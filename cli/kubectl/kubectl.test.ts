/** The plugin as people have it: real kubectl finds it, and it speaks to a real API server as them. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type pg from 'pg'
import { parse } from 'yaml'
import { ApprovalCluster, namespace } from '../../test/approval-cluster.ts'
import { selfSigned } from '../../test/certificates.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { KubectlPlugin, type Said } from '../../test/kubectl-plugin.ts'
import type { SidecarProcess } from '../../test/sidecar-process.ts'

describe('kubectl firebreak', function () {
  this.timeout(600_000)
  let plugin: KubectlPlugin
  let cluster: ApprovalCluster
  let sidecar: SidecarProcess
  let client: pg.Client

  const kubeconfigOf = (user: string): string => cluster.users.get(user)?.kubeconfig ?? ''
  const kubectl = (user: string, ...words: string[]): Promise<Said> => plugin.run(kubeconfigOf(user), words)
  const firebreak = (user: string, ...words: string[]): Promise<Said> => kubectl(user, 'firebreak', ...words)
  const run = (sql: string): Promise<string> =>
    client.query(sql).then(
      ({ rowCount }) => `${rowCount} rows`,
      (error: Error) => error.message,
    )
  const held = async (id: number): Promise<{ running: Promise<string>; name: string }> => {
    await cluster.shop.admin('shop', `INSERT INTO carts VALUES (${id}, 1, '[]', 'x')`)
    const sql = `DELETE FROM carts WHERE id = ${id} /* \u001b[2J */`
    const running = run(sql)
    return { running, name: await cluster.askedFor(sql) }
  }

  before(async function () {
    this.timeout('45m')
    cluster = await ApprovalCluster.start(1)
    plugin = new KubectlPlugin(cluster.cluster.kubectl.program)
    await cluster.apply(reading)
    for (const [name, group] of [
      ['admin', 'system:masters'],
      ['nobody', 'staff'],
    ] as const)
      cluster.users.set(name, await cluster.cluster.user({ name, groups: [group] }))
    const inNamespace = ['config', 'set-context', '--current', `--namespace=${namespace}`]
    assert.equal((await kubectl('alice', ...inNamespace)).status, 0)
    sidecar = await cluster.startPod('bot-1')
    client = await cluster.connect(sidecar)
  })
  after(async () => {
    await client?.end().catch(() => {})
    await cluster?.[Symbol.asyncDispose]()
    plugin?.[Symbol.dispose]()
  })

  it('is found by kubectl, and tells what it can do', async () => {
    assert.match((await kubectl('alice', 'plugin', 'list')).out, /kubectl-firebreak/)
    const { status, out } = await firebreak('alice', '--help')
    assert.equal(status, 0)
    for (const command of ['status', 'approvals', 'explain', 'audit', 'sessions', 'replay', 'uninstall'])
      assert.match(out, new RegExp(`^  ${command} `, 'm'))
  })

  it('shows what waits, in the namespace that kubectl would take', async () => {
    const { name, running } = await held(101)
    assert.match((await firebreak('bob', 'approvals')).err, /namespace "default"/)
    const listed = await firebreak('alice', 'approvals', '-n', namespace, '-o', 'wide')
    assert.equal(listed.status, 0, listed.err)
    assert.match(listed.out, /^NAME +AGENT +.*APPROVERS +POD/)
    assert.match(listed.out, /support-bot +shop +agent +DELETE FROM carts WHERE id = 101 .*~1 row/)
    assert.ok(!listed.out.includes('\u001b'), 'a command reaches the terminal')
    assert.match(
      (await firebreak('admin', 'approvals', '-A')).out,
      new RegExp(`^NAMESPACE[\\s\\S]*${namespace} +${name}`),
    )
    assert.match((await firebreak('alice', 'approvals')).out, new RegExp(name))
    const json = await firebreak('alice', 'approvals', '-o', 'json')
    assert.equal(JSON.parse(json.out).items[0].metadata.name, name)
    assert.equal(
      parse((await firebreak('alice', 'approvals', name, '-o', 'yaml')).out).kind,
      'ApprovalRequest',
    )
    assert.match(
      (await firebreak('alice', 'approvals', name)).out,
      /does +sql:delete[\s\S]*effect +~1 row[\s\S]*\/\* \\u\{1b\}\[2J \*\/[\s\S]*needs +dba/,
    )
    const completed = await kubectl('alice', '__complete', 'firebreak', 'approve', '')
    assert.match(completed.out, new RegExp(`^${name}$[\\s\\S]*^:4$`, 'm'))
    assert.match((await firebreak('alice', 'deny', name, '--reason', 'no')).out, /^denied/)
    assert.match(await running, /denied/)
  })

  it('lets those approve whom the API server lets, and says why the others may not', async () => {
    const { name, running } = await held(102)
    const refused = await firebreak('outsider', 'approve', name, '-n', namespace)
    assert.equal(refused.status, 1)
    assert.match(refused.out, /^refused: .*dba/)
    assert.doesNotMatch(refused.out, /admission webhook/)
    const nobody = await firebreak('nobody', 'approve', name, '-n', namespace)
    assert.deepEqual([nobody.status, /nobody/.test(nobody.err)], [1, true], nobody.err)
    const missing = await firebreak('alice', 'approve', 'bot-xxxxx')
    assert.deepEqual(
      [missing.status, missing.err.trim()],
      [1, `error: there is no request bot-xxxxx in namespace ${namespace}`],
    )
    const agreed = await firebreak('alice', 'approve', `approval/${name}`, '--reason', 'CHG-1')
    assert.deepEqual([agreed.status, agreed.out.trim()], [0, `approved: ${name}`], agreed.err)
    assert.equal(await running, '1 rows')
    const votes = (await cluster.request(name)).spec.votes?.map(({ user, reason }) => [user, reason])
    assert.deepEqual(votes, [['alice', 'CHG-1']])
    await cluster.eventually(async () => (await cluster.request(name)).status?.state ?? '', /^Used$/)
    const again = await firebreak('alice', 'approve', name)
    assert.deepEqual([again.status, again.out.trim()], [1, 'refused: it is over: Used'], again.err)
  })

  it('shows a live list on a terminal, on which a key approves', async () => {
    const { name, running } = await held(103)
    const program = cluster.cluster.kubectl.program
    const words = [
      '-qfec',
      `stty rows 30 cols 160; exec '${program}' firebreak approvals --watch`,
      '/dev/null',
    ]
    const terminal: ChildProcess = spawn('script', words, {
      env: { ...plugin.environment(kubeconfigOf('alice')), TERM: 'xterm' },
    })
    let seen = ''
    terminal.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      seen += chunk
    })
    const eventually = eventuallyWith(() => seen, 120)
    try {
      await eventually(() => seen, new RegExp(`> ${name}`))
      terminal.stdin?.write('a')
      await eventually(() => seen, /effect +~1 row[\s\S]*a again approves it/)
      assert.ok(!seen.includes('\u001b[2J'), 'the command clears the screen')
      terminal.stdin?.write('a')
      await eventually(() => seen, new RegExp(`${name}: approved`))
      assert.equal(await running, '1 rows')
      await cluster.eventually(async () => (await cluster.request(name)).status?.state ?? '', /^Used$/)
      const exited = once(terminal, 'exit')
      terminal.stdin?.write('q')
      assert.deepEqual(await exited, [0, null])
    } finally {
      terminal.kill('SIGKILL')
    }
  })

  it('says what is in force for agents, and fails where something is not', async () => {
    const status = async (): Promise<Said> => await firebreak('alice', 'status')
    await cluster.eventually(async () => (await status()).out, /support-bot +1 +1 +1 +0 +0\/1 +\w{12} +yes/)
    const wide = await firebreak('alice', 'status', '-o', 'wide')
    assert.match(wide.out, /VERSIONS/)
    const resource = ['protectedresource', 'shop', '-n', namespace, '--type=merge', '-p']
    await cluster.kubectl(
      'patch',
      ...resource,
      '{"spec":{"roles":[{"name":"agent","credential":{"secret":{"name":"gone"}}}]}}',
    )
    await cluster.eventually(
      async () => (await status()).out,
      /not in force: ProtectedResource agents\/shop: .*gone/,
    )
    const broken = await firebreak('alice', 'status', '-o', 'json')
    assert.equal(broken.status, 1)
    const { agents, blocked } = JSON.parse(broken.out)
    assert.equal(agents.find(({ agent }: { agent: string }) => agent === 'support-bot').pods, 1)
    assert.equal(blocked[0].name, 'shop')
    await cluster.kubectl(
      'patch',
      ...resource,
      '{"spec":{"roles":[{"name":"agent","credential":{"secret":{"name":"shop-agent"}}}]}}',
    )
  })

  it("explains what becomes of a pod's command", async () => {
    const schema = join(plugin.home, 'schema.sql')
    writeFileSync(schema, 'CREATE TABLE carts (id int)')
    const explain = (pod: string, ...words: string[]): Promise<Said> =>
      firebreak('alice', 'explain', pod, '--schema', schema, '--', ...words)
    const allowed = await explain('bot-1', 'select id from carts')
    assert.equal(allowed.status, 0, allowed.err)
    assert.match(
      allowed.out,
      /^agents\/support-bot on shop as agent\nallow +policy agents\/guard, rule most[\s\S]*not known here/,
    )
    const asked = await explain('bot-1', 'delete from carts')
    assert.equal(asked.status, 1)
    assert.match(asked.out, /^hold +policy agents\/guard, rule deletes-need-a-person[\s\S]*approvers: dba/m)
    const without = await firebreak('alice', 'explain', 'bot-1', '--', 'select 1')
    assert.deepEqual([without.status, /needs --schema FILE/.test(without.err)], [2, true], without.err)
    const headed = await firebreak(
      'alice',
      'explain',
      'bot-1',
      '--schema',
      schema,
      '-H',
      'A: b',
      '--',
      'select 1',
    )
    assert.match(headed.err, /headers and a body are of requests/)
    assert.match((await explain('bot-2', 'select 1')).err, /there is no pod bot-2 in namespace agents/)
    await cluster.makePod('other', 'other')
    assert.match((await explain('other', 'select 1')).err, /pod other is no agent's/)
  })

  it("reads the audit trail in the log of the pod's enforcer", async () => {
    const written = sidecar.audit.trim()
    const trail = `${written}\n{"level":"info","event":"of the program"}\n`
    const kubelet = await startKubelet(trail)
    try {
      await runsOn('bot-1', (kubelet.address() as AddressInfo).port)
      const all = await firebreak('alice', 'audit', 'bot-1', '-o', 'json')
      assert.equal(all.out, `${written}\n`, all.err)
      const { status, out } = await firebreak('alice', 'audit', 'bot-1', '--decision', 'hold')
      assert.equal(status, 0)
      assert.match(out, /^\S+Z +command +hold +DELETE FROM carts WHERE id = 102 .*\\u\{1b\}/m)
      assert.ok(out.split('\n').every((line) => line === '' || line.includes(' hold ')))
      const used = await firebreak('alice', 'audit', 'bot-1', '--event', 'approval.used')
      assert.match(used.out, /approval\.used/)
      const nobody = await firebreak('bob', 'audit', 'bot-1', '-n', namespace)
      assert.deepEqual(
        [nobody.status, /cannot get resource "pods\/log"/.test(nobody.err)],
        [1, true],
        nobody.err,
      )
    } finally {
      kubelet.close()
    }
  })

  it('says what taking it out would leave or lose', async () => {
    const { status, out } = await firebreak('admin', 'uninstall', '--check')
    assert.equal(status, 1)
    for (const what of [
      'pods of agents +1 ',
      'finished requests +3 ',
      'webhooks +2 ',
      'labels of namespaces +1 ',
      'manifests +4 ',
    ])
      assert.match(out, new RegExp(`^${what}`, 'm'))
    const nobody = await firebreak('bob', 'uninstall', '--check')
    assert.deepEqual([nobody.status, /is forbidden/.test(nobody.err)], [1, true])
  })

  /** The API server asks the node of a pod for its logs. */
  async function runsOn(pod: string, port: number): Promise<void> {
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'here' } }
    await cluster.apply(JSON.stringify(node))
    const status = {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    }
    const patch = ['--type=merge', '-p', JSON.stringify({ status })]
    await cluster.kubectl('patch', 'node', 'here', '--subresource=status', ...patch)
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: pod, namespace },
      target: { apiVersion: 'v1', kind: 'Node', name: 'here' },
    }
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}/binding`
    await cluster.cluster.kubectl.run(['create', '--raw', path, '-f', '-'], {
      input: JSON.stringify(binding),
    })
  }
})

/** What people need who look, besides the right to approve. */
const reading = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: ${namespace}}
rules:
  - {apiGroups: [firebreak.dev], resources: ["*"], verbs: [get, list]}
  - {apiGroups: [""], resources: [pods, pods/log], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: ${namespace}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, name: alice}]
`

async function startKubelet(log: string): Promise<Server> {
  const { certificate, key } = selfSigned('here')
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const isLog = request.url?.startsWith('/containerLogs/agents/bot-1/firebreak-enforcer')
    response.writeHead(isLog ? 200 : 404).end(isLog ? log : '')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

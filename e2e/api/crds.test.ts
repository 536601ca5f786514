/** The four kinds on a real API server, with real kubectl: what it takes, refuses and shows. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { type ControlPlane, startControlPlane } from '../index.ts'

interface Refusal {
  readonly name: string
  readonly object: { readonly kind: string; readonly spec: unknown }
  readonly says: readonly string[]
}

interface Shown {
  readonly statuses: readonly {
    readonly object: string
    readonly status: { readonly conditions?: readonly object[] }
  }[]
  readonly tables: readonly { readonly command: string; readonly shows: string }[]
  readonly changes: readonly { readonly patch: unknown; readonly says?: string }[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const supportBot = `${root}examples/support-bot/firebreak.yaml`
const approvalRequest = fileURLToPath(new URL('approval-request.yaml', import.meta.url))
const refusals = readData('refused-objects.yaml') as readonly Refusal[]
const shown = readData('shown.yaml') as Shown

describe('the kinds on an API server', function () {
  this.timeout('2m')
  let cluster: ControlPlane

  before(async function () {
    // the first run on a machine compiles the API server
    this.timeout('45m')
    cluster = await startControlPlane()
    const crds = globSync(`${root}crds/*.yaml`).flatMap((file) => ['-f', file])
    const { status, stderr } = await cluster.kubectl.attempt(['apply', ...crds])
    assert.equal(stderr, '', 'the schemas are right and warn of nothing')
    assert.equal(status, 0)
    await cluster.kubectl.run(['wait', '--for=condition=Established', '--timeout=180s', ...crds])
    await cluster.kubectl.run(['create', 'namespace', 'agents'])
  })
  after(() => cluster?.[Symbol.asyncDispose]())

  it('their schemas are structural and their names free', async () => {
    const conditions = await cluster.kubectl.run([
      'get',
      'crds',
      '-o',
      'jsonpath={range .items[*]}{range .status.conditions[*]}{.type}={.status} {end}{end}',
    ])
    const each = ['NamesAccepted=True', 'Established=True']
    assert.deepEqual(conditions.trim().split(' '), [...each, ...each, ...each, ...each])
  })

  for (const file of globSync('examples/*/*.yaml', { cwd: root })) {
    it(`${file} is taken, and changes nothing when it is applied again`, async () => {
      const path = `${root}${file}`
      const objects = [`--namespace=${namespaceOf(path)}`, '-f', path]
      const applied = async (): Promise<string> => {
        await cluster.kubectl.run(['apply', ...objects])
        return cluster.kubectl.run([
          'get',
          ...objects,
          '-o',
          'jsonpath={range .items[*]}{.metadata.uid} {.metadata.generation}{"\\n"}{end}',
        ])
      }
      const first = await applied()
      assert.equal(lines(first).length, parseAllDocuments(readFileSync(path, 'utf8')).length)
      assert.equal(await applied(), first)
    })
  }

  for (const { name, object, says } of refusals) {
    it(`refuses ${name}`, async () => {
      const metadata = { name: 'wrong', namespace: 'agents' }
      const manifest = stringify({ apiVersion: 'firebreak.dev/v1alpha1', metadata, ...object })
      const { status, stderr } = await cluster.kubectl.attempt(['create', '-f', '-'], { input: manifest })
      const [first, ...rest] = refusalLines(stderr)
      assert.deepEqual([first, ...rest.sort()], says)
      assert.equal(status, 1)
    })
  }

  describe('what people see', () => {
    before(async () => {
      // other examples have the same namespace
      await cluster.kubectl.run(['delete', 'firebreak', '--all', '--namespace=agents'])
      await cluster.kubectl.run(['apply', '-f', supportBot, '-f', approvalRequest])
      for (const { object, status } of shown.statuses) {
        const lastTransitionTime = new Date().toISOString()
        const conditions = status.conditions?.map((condition) => ({ ...condition, lastTransitionTime }))
        const patch = JSON.stringify({ status: { ...status, conditions } })
        const target = [object, '--namespace=agents', '--subresource=status', '--type=merge']
        await cluster.kubectl.run(['patch', ...target, `--patch=${patch}`])
      }
    })

    for (const { command, shows } of shown.tables) {
      it(`kubectl ${command}`, async () => {
        const table = await cluster.kubectl.run([...command.split(' '), '--namespace=agents'])
        assert.equal(table.replaceAll(/\b\d+s$/gm, 'AGE'), shows)
      })
    }

    it('kubectl explain tells what a field means', async () => {
      const text = await cluster.kubectl.run(['explain', 'guardrailpolicy.spec.rules.effect'])
      assert.match(
        text,
        /FIELD: effect <string>.*requireApproval.*What happens with a command that matches\./s,
      )
    })
  })

  it('an approval request stays what was asked, and its decision what was decided', async () => {
    await cluster.kubectl.run(['apply', '-f', approvalRequest])
    for (const { patch, says = '' } of shown.changes) {
      const target = ['approvalrequest/delete-old-carts', '--namespace=agents', '--type=merge']
      const { stderr } = await cluster.kubectl.attempt([
        'patch',
        ...target,
        `--patch=${JSON.stringify(patch)}`,
      ])
      const answer = stderr.trim().replace('The ApprovalRequest "delete-old-carts" is invalid: ', '')
      assert.equal(answer.replace('Invalid value: "object": ', 'Invalid value: '), says)
    }
  })

  it('a user may do what RBAC grants, and no more', async () => {
    const eve = await cluster.user({ name: 'eve', groups: ['support'] })
    const { stderr } = await eve.kubectl.attempt(['get', 'agent', '--namespace=agents'])
    assert.match(
      stderr,
      /^Error from server \(Forbidden\): agentidentities\.firebreak\.dev is forbidden: User "eve" cannot list/,
    )
    const rights = ['--verb=get,list', '--resource=agentidentities.firebreak.dev', '--namespace=agents']
    await cluster.kubectl.run(['create', 'role', 'reader', ...rights])
    await cluster.kubectl.run([
      'create',
      'rolebinding',
      'support',
      '--role=reader',
      '--group=support',
      '--namespace=agents',
    ])
    assert.match(await eve.kubectl.run(['get', 'agent', '--namespace=agents']), /support-bot/)
  })
})

function readData(name: string): unknown {
  return parse(readFileSync(new URL(name, import.meta.url), 'utf8'))
}

/** Objects that name no namespace go where their reader works. */
function namespaceOf(path: string): string {
  const first = parseAllDocuments(readFileSync(path, 'utf8'))[0]?.toJS() as {
    metadata: { namespace?: string }
  }
  return first.metadata.namespace ?? 'default'
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}

/** Without the bullets, and without the remark that other rules weren't tried. */
function refusalLines(stderr: string): string[] {
  return stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('* <nil>'))
    .map((line) => line.replace(/^\* /, '').trimEnd())
}

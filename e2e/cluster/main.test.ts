import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('main.ts', import.meta.url))

describe('npm run cluster', function () {
  this.timeout(120_000)
  let state: string

  // a state of its own, so that a cluster which is up is not touched
  before(() => {
    state = mkdtempSync(join(tmpdir(), 'firebreak-cluster-'))
  })
  after(() => rmSync(state, { recursive: true }))

  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [program, ...args], {
      encoding: 'utf8',
      env: { ...process.env, XDG_STATE_HOME: state },
    })

  it('says when there is no cluster, to people and to programs', () => {
    const said = run('status')
    assert.equal(said.stdout, 'There is no test cluster. npm run cluster -- up starts one.\n')
    assert.equal(said.status, 1)
    assert.deepEqual(JSON.parse(run('status', '--json').stdout), { running: false })
  })

  it('down is content when there is nothing to stop', () => {
    assert.deepEqual(run('down').status, 0)
  })

  it('tells its commands', () => {
    const { status, stderr } = run('start')
    assert.match(stderr, /^npm run cluster -- up .*\n.* status .*\n.* down .*\n.* prepare /)
    assert.equal(status, 2)
  })

  it('takes a number of nodes that a machine can have', () => {
    const { status, stderr } = run('up', '--nodes', 'many')
    assert.equal(stderr, 'The number of nodes must be from 1 to 9\n')
    assert.equal(status, 2)
  })
})

/** The plugin's archive, installed as krew does it, on a machine that has nothing but kubectl. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { attemptCommand, type Output } from '../../e2e/cluster/command.ts'
import { ApprovalCluster, namespace } from '../../test/approval-cluster.ts'
import { pluginCommands } from './commands.ts'

interface Platform {
  readonly selector: { readonly matchLabels: { readonly os: string; readonly arch: string } }
  readonly uri: string
  readonly sha256: string
  readonly bin: string
}

const run = promisify(execFile)
const build = fileURLToPath(new URL('../../deploy/krew/build.ts', import.meta.url))
const url = 'https://downloads.example.com/firebreak'

describe('the archive for krew', function () {
  this.timeout(600_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-krew-'))
  const bin = join(directory, 'krew/bin')
  let cluster: ApprovalCluster
  let platform: Platform

  const kubectl = async (...words: string[]): Promise<Output> => {
    const { kubectl, kubeconfig } = cluster.cluster
    const environment = { PATH: [bin, '/usr/bin', '/bin'].join(':'), HOME: directory, KUBECONFIG: kubeconfig }
    return await attemptCommand(kubectl.program, words, environment, { directory })
  }

  before(async function () {
    this.timeout('45m')
    await run(process.execPath, [build, directory, url])
    cluster = await ApprovalCluster.start(1)
  })
  after(async () => {
    await cluster?.[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  it('has a manifest that krew takes', () => {
    // https://github.com/kubernetes-sigs/krew/blob/v0.4.5/internal/index/validation/validate.go
    const { apiVersion, kind, metadata, spec } = parse(
      readFileSync(join(directory, 'firebreak.yaml'), 'utf8'),
    )
    assert.deepEqual([apiVersion, kind], ['krew.googlecontainertools.github.com/v1alpha2', 'Plugin'])
    assert.equal(metadata.name, 'firebreak')
    assert.match(spec.version, /^v\d+\.\d+\.\d+$/)
    assert.match(spec.shortDescription, /^.{1,50}$/)
    assert.equal(spec.platforms.length, 1)
    platform = spec.platforms[0]
    assert.deepEqual(Object.keys(platform.selector.matchLabels), ['os', 'arch'])
    assert.match(platform.sha256, /^[a-f0-9]{64}$/)
    assert.ok(platform.uri.startsWith(`${url}/`))
  })

  it('is what the manifest says, and runs where krew links to it', async () => {
    const archive = join(directory, platform.uri.slice(url.length + 1))
    assert.equal(createHash('sha256').update(readFileSync(archive)).digest('hex'), platform.sha256)
    const store = join(directory, 'krew/store/firebreak/v0')
    for (const each of [store, bin]) mkdirSync(each, { recursive: true })
    await run('tar', ['--extract', '--file', archive, '--directory', store])
    assert.deepEqual(readdirSync(store).sort(), ['kubectl-firebreak', 'node', 'program'])
    symlinkSync(join(store, platform.bin), join(bin, 'kubectl-firebreak'))
    const { status, stdout, stderr } = await kubectl('firebreak', '--help')
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^Usage: kubectl firebreak COMMAND/m)
  })

  for (const name of Object.keys(pluginCommands))
    it(`has ${name}, with all that it reads`, async () => {
      const { status, stdout, stderr } = await kubectl('firebreak', name, '--help')
      assert.equal(status, 0, stderr)
      assert.match(stdout, /^Usage: /m)
    })

  it('tells what is in force, as the person of the kubeconfig', async () => {
    const { stdout, stderr } = await kubectl('firebreak', 'status', '-n', namespace)
    assert.match(stdout, /^agents +support-bot /m, stderr)
  })

  it("explains a command by PostgreSQL's own parser, which is in it", async () => {
    await cluster.makePod('bot-1')
    writeFileSync(join(directory, 'schema.sql'), 'CREATE TABLE carts (id int)')
    const explain = ['explain', 'bot-1', '-n', namespace, '--schema', 'schema.sql', '--']
    const { stdout, stderr } = await kubectl('firebreak', ...explain, 'delete from carts')
    assert.match(stdout, /^hold +policy agents\/guard, rule deletes-need-a-person/m, stderr)
  })
})

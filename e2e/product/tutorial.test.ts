/** docs/tutorial.md, line by line, on a real cluster. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { KubectlPlugin } from '../../test/kubectl-plugin.ts'
import { findHelm } from '../../tools/helm.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import { describeOnCluster } from '../suite.ts'
import { buildPostgresImage, postgresImage } from './images.ts'
import { loadImages, Product } from './product.ts'
import { endSharedProduct } from './suite.ts'
import { consoleSessions, patternOf, Terminal, type Typed, trimmed } from './terminal.ts'

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const typed = consoleSessions(readFileSync(file('docs/tutorial.md'), 'utf8'))

/** A test cluster pulls from no registry. */
const images = { 'docker.io/library/postgres:18': postgresImage, 'REGISTRY/agent:1': toolsImage }
/** What admission says while the operator doesn't know yet of what was applied a moment ago. */
const passing = /^Warning: .*\n/gm
/** Looking again changes nothing, and a person would look again. */
const looks = /^kubectl (get|exec|firebreak (status|approvals|audit)) /
const patience = 120_000

describeOnCluster('the tutorial', (cluster) => {
  let product: Product
  let plugin: KubectlPlugin
  let terminal: Terminal
  let directory: string
  let failed = false

  before(async function () {
    this.timeout('60m')
    await endSharedProduct()
    product = await Product.prepare(cluster())
    const { kubectl, kubeconfig, machinery } = cluster()
    if (machinery) await product.kubectl('delete', 'namespace', 'agents', 'data', '--ignore-not-found')
    await loadImages(cluster(), 'postgresql', async (place) => [await buildPostgresImage(place)])
    directory = mkdtempSync(join(tmpdir(), 'firebreak-tutorial-'))
    symlinkSync(file('charts'), join(directory, 'charts'))
    symlinkSync(file('examples'), join(directory, 'examples'))
    const manifests = join(directory, 'docs/tutorial')
    cpSync(file('docs/tutorial'), manifests, { recursive: true })
    for (const name of readdirSync(manifests)) {
      const text = readFileSync(join(manifests, name), 'utf8')
      const replaced = Object.entries(images).reduce(
        (all, [theirs, ours]) => all.replaceAll(theirs, ours),
        text,
      )
      writeFileSync(join(manifests, name), replaced)
    }
    writeFileSync(join(directory, 'values.json'), JSON.stringify(await product.values()))
    plugin = new KubectlPlugin(kubectl.program)
    symlinkSync(kubectl.program, join(plugin.home, 'kubectl'))
    symlinkSync(await findHelm(), join(plugin.home, 'helm'))
    terminal = new Terminal(plugin.environment(kubeconfig), directory)
  })
  after(async function () {
    this.timeout('10m')
    await terminal?.[Symbol.asyncDispose]()
    if (product && failed)
      await product.kubectl('delete', 'namespace', 'agents', 'data', '--ignore-not-found')
    await product?.[Symbol.asyncDispose]()
    plugin?.[Symbol.dispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  for (const each of typed)
    it(`${each.line}: ${each.command.slice(0, 90)}`, async function () {
      this.timeout('10m')
      assert.ok(!failed, 'a line before this one did not come out as the page says')
      failed = true
      await prints(each)
      failed = false
    })

  async function prints(each: Typed): Promise<void> {
    const command = each.command.replace('helm install firebreak charts/firebreak', '$& --values values.json')
    const pattern = patternOf(each)
    const until = performance.now() + (looks.test(command) ? patience : 0)
    for (;;) {
      const said = `${trimmed((await terminal.type(command)).replaceAll(passing, ''))}\n`
      if (pattern.test(said)) return
      if (performance.now() > until) assert.equal(said, each.expected.join('\n'))
      await delay(500)
    }
  }
})

describe("a page's console sessions", () => {
  const page = 'text\n```console\n$ one\na … c\n…\nlast\n$ two\n```\n$ no\n```sh\n$ neither\n```\n'

  it('are what is typed, and what has to come of it', () => {
    assert.deepEqual(
      consoleSessions(page).map(({ command, line }) => [command, line]),
      [
        ['one', 3],
        ['two', 7],
      ],
    )
  })

  for (const [said, fits] of [
    ['a b c\nlast\n', true],
    ['a b c\nmore\nmore\nlast\n', true],
    ['a b c\n', false],
    ['a b d\nlast\n', false],
    ['a\nc\nlast\n', false],
    ['a b c\nlast\nmore\n', false],
  ] as const)
    it(`${fits ? 'take' : 'do not take'} ${JSON.stringify(said)}`, () => {
      const [first] = consoleSessions(page)
      assert.ok(first)
      assert.equal(patternOf(first).test(said), fits)
    })
})

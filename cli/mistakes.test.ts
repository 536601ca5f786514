/** Every mistake is answered with what was wrong and what there is instead, and nothing is served. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { manifests } from '../test/policies.ts'

interface Mistake {
  readonly words: readonly string[]
  readonly says: string
  readonly code: number
}

/** By what people type. */
const programs = { firebreak: '.', 'kubectl firebreak': 'kubectl' }

const kubeconfig = `apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {token: none}}]
`

describe('A mistake', function () {
  this.timeout(180_000)
  const home = mkdtempSync(join(tmpdir(), 'firebreak-mistakes-'))
  const directory = join(home, 'manifests')
  const empty = join(home, 'empty')
  const taken = createServer()
  let port = ''

  before(async () => {
    for (const path of [directory, empty]) mkdirSync(path)
    writeFileSync(join(directory, 'a.yaml'), manifests({ address: '127.0.0.1:1' }))
    writeFileSync(join(home, 'kubeconfig'), kubeconfig)
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const address = taken.address()
    port = typeof address === 'object' && address ? String(address.port) : ''
  })

  after(() => {
    taken.close()
    rmSync(home, { recursive: true })
  })

  const filledIn = (text: string): string =>
    text.replaceAll('DIR', directory).replaceAll('EMPTY', empty).replaceAll('TAKEN', port)

  for (const [program, folder] of Object.entries(programs)) {
    const file = (name: string): string => fileURLToPath(new URL(`${folder}/${name}`, import.meta.url))
    for (const { words, says, code } of parse(readFileSync(file('mistakes.yaml'), 'utf8')) as Mistake[])
      it(`${program} ${words.join(' ')}`, () => {
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          [file('main.ts'), ...words.map(filledIn)],
          {
            encoding: 'utf8',
            timeout: 120_000,
            env: { ...process.env, KUBECONFIG: join(home, 'kubeconfig') },
          },
        )
        assert.ok((stdout + stderr).includes(filledIn(says)), stdout + stderr)
        assert.equal(status, code)
      })
  }
})

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

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const mistakes = parse(readFileSync(new URL('mistakes.yaml', import.meta.url), 'utf8')) as Mistake[]

describe('A mistake', function () {
  this.timeout(30_000)
  const home = mkdtempSync(join(tmpdir(), 'firebreak-mistakes-'))
  const directory = join(home, 'manifests')
  const empty = join(home, 'empty')
  const taken = createServer()
  let port = ''

  before(async () => {
    for (const path of [directory, empty]) mkdirSync(path)
    writeFileSync(join(directory, 'a.yaml'), manifests({ address: '127.0.0.1:1' }))
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

  for (const { words, says, code } of mistakes) {
    it(`firebreak ${words.join(' ')}`, () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words.map(filledIn)], {
        encoding: 'utf8',
        timeout: 20_000,
      })
      assert.ok((stdout + stderr).includes(filledIn(says)), stdout + stderr)
      assert.equal(status, code)
    })
  }
})

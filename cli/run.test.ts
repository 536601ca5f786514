import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { manifests } from '../test/policies.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

describe('firebreak run', function () {
  this.timeout(300_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-run-'))
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('ends by itself whenever it is told to stop after the first of what it says', async () => {
    writeFileSync(join(directory, 'a.yaml'), manifests({ address: '127.0.0.1:1' }))
    const words = [main, 'run', '--config', directory, '--listen', 'shop=127.0.0.1:0']
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
    })
    child.stderr.once('data', () => child.kill('SIGTERM'))
    assert.deepEqual(await once(child, 'close'), [0, null], said)
    assert.match(said, /^guarding default\/shop [\s\S]*\nstopping: /m)
  })
})

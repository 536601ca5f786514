import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheDirectory } from './cache.ts'
import { findProgram, nodePackages } from './clients.ts'

describe('what tests need beside the product', function () {
  this.timeout(300_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-clients-'))
  const inCache = (): string[] =>
    readdirSync(cacheDirectory).filter((name) => name.startsWith(basename(directory)))

  after(() => {
    for (const name of inCache()) rmSync(join(cacheDirectory, name), { recursive: true })
    rmSync(directory, { recursive: true })
  })

  function wanted(version: string, locked = version): URL {
    writeFileSync(
      join(directory, 'package.json'),
      JSON.stringify({ name: 'wanted', version, scripts: { postinstall: 'echo once >> installed' } }),
    )
    writeFileSync(
      join(directory, 'package-lock.json'),
      JSON.stringify({
        name: 'wanted',
        version: locked,
        lockfileVersion: 3,
        packages: { '': { name: 'wanted' } },
      }),
    )
    return pathToFileURL(`${directory}/`)
  }

  it('is installed once for each lockfile', async () => {
    const first = await nodePackages(wanted('1.0.0'))
    assert.equal(await nodePackages(wanted('1.0.0')), first)
    assert.equal(readFileSync(join(dirname(first), 'installed'), 'utf8'), 'once\n')
    assert.notEqual(await nodePackages(wanted('2.0.0')), first)
  })

  it('leaves nothing half done when it can not be installed, and says why', async () => {
    const before = inCache()
    writeFileSync(join(directory, 'package-lock.json'), 'no lockfile')
    await assert.rejects(nodePackages(pathToFileURL(`${directory}/`)), /could not be fetched \(npm .*lock/)
    assert.deepEqual(inCache(), before)
  })

  it('is named with what to install where it can not be fetched', () => {
    assert.throws(() => findProgram('no-such-program', 'In Debian it comes with nothing.'), {
      message: 'no-such-program is needed. In Debian it comes with nothing.',
    })
  })
})

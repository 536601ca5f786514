import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { unzip } from './zip.ts'

/** An archive with these files, the way module proxies write them: without modes, sizes in the central directory. */
function zip(files: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, contents] of Object.entries(files)) {
    const data = deflateRawSync(contents)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(8, 8)
    local.writeUInt16LE(name.length, 26)
    parts.push(local, Buffer.from(name), data)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(8, 10)
    entry.writeUInt32LE(data.length, 20)
    entry.writeUInt32LE(contents.length, 24)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(offset, 42)
    directory.push(entry, Buffer.from(name))
    offset += 30 + name.length + data.length
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...parts, ...directory, end])
}

describe('ZIP archives of modules', () => {
  let directory: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-zip-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('are unpacked without what their names begin with, programs executable', () => {
    const archive = zip({ 'm@v1/bin/go': '#!/bin/sh\necho run\n', 'm@v1/doc/a.txt': 'text'.repeat(1000) })
    unzip(archive, directory, { strip: 'm@v1/', executable: /\/bin\// })
    assert.equal(spawnSync(join(directory, 'bin/go'), { encoding: 'utf8' }).stdout, 'run\n')
    assert.equal(readFileSync(join(directory, 'doc/a.txt'), 'utf8'), 'text'.repeat(1000))
    assert.equal(statSync(join(directory, 'doc/a.txt')).mode & 0o111, 0)
  })

  it('write nothing outside the directory', () => {
    const inner = join(directory, 'inner')
    mkdirSync(inner)
    unzip(zip({ 'm/../../../escaped': 'x', 'other/ignored': 'x' }), inner, {
      strip: 'm/',
      executable: /never/,
    })
    assert.equal(existsSync(join(directory, 'escaped')), false)
    assert.equal(existsSync(join(inner, 'escaped')), true)
    assert.equal(existsSync(join(inner, 'ignored')), false)
  })

  it('are refused when they are something else', () => {
    assert.throws(
      () => unzip(Buffer.from('<html>'), directory, { strip: '', executable: /x/ }),
      /Not a ZIP archive/,
    )
  })
})

import assert from 'node:assert/strict'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { HeaderFields } from '../request.ts'
import { BodyRefused, bodyStages } from './stages.ts'
import { bodyTerms, cutAt, openMask } from './testing.ts'

const terms = bodyTerms({ masks: { '$.email': 'redact' } })
const document = Buffer.from('{"id":1,"email":"ada@x.test"}')
const masked = '{"id":1,"email":"********"}'

async function through(
  headers: HeaderFields,
  chunks: Iterable<Buffer>,
  count: (bytes: Buffer) => void = () => {},
): Promise<void> {
  const mask = openMask(terms, [['content-type', 'application/json'], ...headers])
  assert.ok(mask.ok, mask.ok ? '' : mask.error)
  const out = new Writable({
    write(chunk: Buffer, _encoding, done) {
      count(chunk)
      done()
    },
  })
  await pipeline([Readable.from(chunks), ...bodyStages(mask.value), out])
}

async function textThrough(headers: HeaderFields, chunks: Iterable<Buffer>): Promise<string> {
  const out: Buffer[] = []
  await through(headers, chunks, (bytes) => out.push(Buffer.from(bytes)))
  return Buffer.concat(out).toString()
}

describe('compressed bodies', function () {
  this.timeout(60_000)
  const codings: Record<string, Buffer> = {
    gzip: gzipSync(document),
    'x-gzip': gzipSync(document),
    GZIP: gzipSync(document),
    deflate: deflateSync(document),
    br: brotliCompressSync(document),
    zstd: zstdCompressSync(document),
    'gzip, br': brotliCompressSync(gzipSync(document)),
    'identity, gzip': gzipSync(document),
  }
  for (const [coding, body] of Object.entries(codings))
    it(`are masked behind ${coding}, however they come cut`, async () => {
      for (const every of [1, 7, body.length])
        assert.equal(await textThrough([['content-encoding', coding]], cutAt(body, every)), masked)
    })

  it('in several parts are one', async () => {
    const parts = [gzipSync(document.subarray(0, 12)), gzipSync(document.subarray(12))]
    assert.equal(await textThrough([['content-encoding', 'gzip']], parts), masked)
  })

  it('lose what was about their bytes, and nothing else', () => {
    const mask = openMask(terms, [
      ['content-type', 'application/json'],
      ['content-encoding', 'gzip'],
      ['content-length', '40'],
      ['etag', '"5d41402a"'],
      ['content-digest', 'sha-256=:x:'],
      ['x-amz-checksum-sha256', 'x'],
      ['accept-ranges', 'bytes'],
      ['cache-control', 'no-store'],
      ['set-cookie', 'a=b'],
    ])
    assert.ok(mask.ok)
    assert.deepEqual(mask.value.head, {
      status: 200,
      headers: [
        ['content-type', 'application/json'],
        ['cache-control', 'no-store'],
        ['set-cookie', 'a=b'],
      ],
    })
  })

  const lies: readonly { name: string; headers: HeaderFields; body: Buffer }[] = [
    { name: 'compressed without saying so', headers: [], body: gzipSync(document) },
    {
      name: 'compressed twice and saying so once',
      headers: [['content-encoding', 'gzip']],
      body: gzipSync(gzipSync(document)),
    },
    { name: 'not compressed and saying so', headers: [['content-encoding', 'gzip']], body: document },
    {
      name: 'cut off',
      headers: [['content-encoding', 'gzip']],
      body: gzipSync(document).subarray(0, -9),
    },
  ]
  for (const { name, headers, body } of lies)
    it(`that are ${name} do not pass`, async () => {
      const out: Buffer[] = []
      await assert.rejects(through(headers, [body], (bytes) => out.push(bytes)))
      assert.ok(!Buffer.concat(out).includes('ada@'))
    })

  for (const coding of ['compress', 'gzip, gzip, gzip', 'gzip;q=1', '__proto__'])
    it(`by ${coding} are refused`, () => {
      const mask = openMask(terms, [
        ['content-type', 'application/json'],
        ['content-encoding', coding],
      ])
      assert.ok(!mask.ok)
    })

  it('that become huge are cut off', async () => {
    const spaces = Buffer.alloc(4 * 1024 * 1024, ' ')
    const bomb = brotliCompressSync(Buffer.concat(Array.from({ length: 16 }, () => spaces)))
    let bytes = 0
    const run = through([['content-encoding', 'br']], [bomb], (chunk) => {
      bytes += chunk.length
    })
    await assert.rejects(run, BodyRefused)
    assert.ok(bytes < 24 * 1024 * 1024, `${bytes} bytes came out`)
  })
})

describe('bodies of any length', function () {
  this.timeout(120_000)

  it('take no more memory than a value may', async () => {
    const row = Buffer.from(`${JSON.stringify({ id: 1, email: 'ada@x.test', note: 'x'.repeat(900) })},`)
    const rows = Buffer.concat(Array.from({ length: 64 }, () => row))
    function* list(): Generator<Buffer> {
      yield Buffer.from('[')
      for (let index = 0; index < 4_000; index++) yield rows
      yield Buffer.from('1]')
    }
    let total = 0
    let most = 0
    const before = process.memoryUsage.rss()
    await through([], list(), (bytes) => {
      total += bytes.length
      most = Math.max(most, process.memoryUsage.rss())
    })
    assert.ok(total > 200 * 1024 * 1024)
    assert.ok(most - before < 150 * 1024 * 1024, `${most - before} bytes more were in use`)
  })

  const long = (mask: string, length: number): Buffer =>
    Buffer.from(`{"${mask}":"${'y'.repeat(length)}","id":1}`)
  const limit = 1024 * 1024
  const cases: readonly { name: string; body: Buffer; out: string }[] = [
    { name: 'a masked value', body: long('email', limit), out: '{"email":"********","id":1}' },
    {
      name: 'what could be JSON',
      body: Buffer.from(`{"a":"{\\"b\\":${'1'.repeat(limit)}","id":1}`),
      out: '{"a":"********","id":1}',
    },
    { name: 'a value that nobody masks', body: long('data', limit), out: long('data', limit).toString() },
  ]
  for (const { name, body, out } of cases)
    it(`may hold ${name} that is longer than can be looked into`, async () => {
      for (const every of [body.length, 1000, 65_536, limit + 3])
        assert.equal(await textThrough([], cutAt(body, every)), out)
    })

  it('with names that are longer than can be looked into are refused', async () => {
    await assert.rejects(textThrough([], [Buffer.from(`{"${'k'.repeat(70_000)}":1}`)]), BodyRefused)
  })

  it('with a nesting that is deeper than can be looked into are refused', async () => {
    await assert.rejects(textThrough([], [Buffer.alloc(600, '[')]), BodyRefused)
    assert.equal(
      await textThrough([], [Buffer.from(`${'['.repeat(500)}${']'.repeat(500)}`)]),
      `${'['.repeat(500)}${']'.repeat(500)}`,
    )
  })
})

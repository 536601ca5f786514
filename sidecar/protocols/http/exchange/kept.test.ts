import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fetch } from 'undici'
import { HttpShop } from '../../../../test/http-shop.ts'
import { RecordingReader } from '../../../recording/reader.ts'
import { DirectoryStore } from '../../../recording/stores/directory.ts'
import { newReaderKey, type ReaderKey } from '../../../recording/testdata/recordings.ts'

interface Body {
  readonly name: string
  readonly bytes: Buffer
  readonly type?: string
  readonly gzip?: boolean
  /** Nothing of it may pass. */
  readonly withheld?: boolean
}

const customer = (number: number): string =>
  `{"id": ${number}, "email": "person${number}@shop.example", "note": "as it came"}`

const bodies: readonly Body[] = [
  { name: 'a document', bytes: Buffer.from(customer(1)) },
  { name: 'one that was compressed, as it is read', bytes: Buffer.from(customer(1)), gzip: true },
  {
    name: 'one in many pieces',
    bytes: Buffer.from(`[${Array.from({ length: 20_000 }, (_, n) => customer(n))}]`),
  },
  {
    name: 'a value that is much longer than its mask',
    bytes: Buffer.from(JSON.stringify({ email: 'person'.repeat(100_000), after: 1 })),
  },
  { name: 'one with nothing to hide', bytes: Buffer.from('{"id": 1}') },
  {
    name: 'nothing of what is withheld',
    bytes: Buffer.from('person1'),
    type: 'application/octet-stream',
    withheld: true,
  },
]

describe('what a body was before its mask', function () {
  this.timeout(60_000)
  let shop: HttpShop
  let reader: ReaderKey
  let unmasked: ReaderKey

  before(async () => {
    shop = await HttpShop.start()
    reader = await newReaderKey()
    unmasked = await newReaderKey()
  })
  after(() => shop[Symbol.asyncDispose]())

  /** @returns all response bytes that were recorded. */
  async function recorded(directory: string, ...keys: readonly ReaderKey[]): Promise<string> {
    await using store = await DirectoryStore.open(directory)
    const [file = ''] = readdirSync(directory)
    await using source = await store.open(file.replace('.fbrec', ''))
    assert.ok(source)
    const identities = keys.map(({ identity }) => identity)
    const recording = await RecordingReader.open(source, identities)
    let bytes = ''
    for await (const { entry, unmasked } of recording.entries())
      if (entry.type === 'response') bytes += (unmasked ?? entry.bytes).toString('utf8')
    return bytes
  }

  for (const { name, bytes, type = 'application/json', gzip, withheld } of bodies)
    it(`is kept of ${name}`, async () => {
      shop.answer = (_, response) => {
        response.setHeader('content-type', type)
        if (gzip) response.setHeader('content-encoding', 'gzip')
        response.end(gzip ? gzipSync(bytes) : bytes)
      }
      await using guard = await shop.guard(
        {
          rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: hide, match: {tags: [pii]}, effect: mask, mask: {strategy: redact}}
`,
          classification: '[{tags: [pii], fields: ["$.email"]}]',
          more: '  recording: {mode: full, unmasked: true, bytesPerCommand: 10000000}\n',
        },
        { recordingRecipients: [reader.recipient], unmaskedRecipients: [unmasked.recipient] },
      )
      const answered = fetch(`http://127.0.0.1:${guard.address.port}/customers`).then((answer) =>
        answer.text(),
      )
      const got = await answered.catch((error: Error) => error.message)
      await guard.stop()
      const directory = join(guard.directory, 'recordings')
      const masked = await recorded(directory, reader)
      assert.doesNotMatch(got + masked, /person/)
      const hidden = await recorded(directory, reader, unmasked)
      if (withheld) assert.doesNotMatch(hidden, /person/)
      else {
        assert.match(masked, /^HTTP 200$/m)
        assert.ok(masked.endsWith(got), 'readers see what the client got')
        assert.equal(hidden.slice(hidden.indexOf('\n\n') + 2), bytes.toString())
      }
    })
})

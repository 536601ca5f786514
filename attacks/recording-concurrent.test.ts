import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { type ClientHttp2Stream, connect } from 'node:http2'
import { join } from 'node:path'
import { keyFiles } from '@firebreak/sidecar/recording/installation-keys.ts'
import { parseIdentities } from '@firebreak/sidecar/recording/keys.ts'
import { RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import { DirectoryStore } from '@firebreak/sidecar/recording/stores/directory.ts'
import { type Exchange, exchanges } from '@firebreak/sidecar/recording/transcript/exchanges.ts'
import { transcript } from '@firebreak/sidecar/recording/transcript/transcript.ts'
import { parse } from 'yaml'
import { HttpShop } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface Asked {
  readonly path: string
  readonly kilobytes: number
  readonly sends?: number
  readonly stays?: boolean
}

interface Case {
  readonly name: string
  readonly requests: readonly Asked[]
}

const { concurrent } = parse(readFileSync(new URL('recording.yaml', attacksDirectory), 'utf8')) as {
  concurrent: readonly Case[]
}
const bytesPerCommand = 64 * 1024

const answerTo = ({ path, kilobytes }: Asked): string => `answer to ${path}.`.padEnd(kilobytes * 1024, '.')
const sentTo = ({ path, sends = 0 }: Asked): string =>
  sends === 0 ? '' : `sent to ${path}.`.padEnd(sends * 1024, '.')

/** What was recorded, by what was asked for. */
interface Recorded {
  readonly exchange: Exchange
  readonly sent: string
}

describe('attacks on recordings of what is answered at once', function () {
  this.timeout(300_000)
  let shop: HttpShop
  const open = new Map<string, ServerResponse>()

  before(async () => {
    shop = await HttpShop.start()
  })
  after(() => shop[Symbol.asyncDispose]())

  async function ask(guard: Guard, requests: readonly Asked[]): Promise<void> {
    shop.answer = ({ url = '' }, response) => {
      const asked = requests.find(({ path }) => path === url)
      assert.ok(asked)
      response.writeHead(200, { 'content-type': 'text/plain' }).write(answerTo(asked))
      if (asked.stays) open.set(url, response)
      else response.end()
    }
    const client = connect(`http://127.0.0.1:${guard.address.port}`)
    const staying: { readonly path: string; readonly ended: Promise<unknown> }[] = []
    for (const asked of requests) {
      const sent = sentTo(asked)
      const stream = client.request({ ':path': asked.path, ':method': sent === '' ? 'GET' : 'POST' })
      const ended = once(stream, 'end')
      if (sent !== '') stream.end(sent)
      await received(stream, answerTo(asked).length)
      if (asked.stays) staying.push({ path: asked.path, ended })
      else await ended
    }
    for (const { path, ended } of staying.toReversed()) {
      open.get(path)?.end()
      await ended
    }
    client.close()
  }

  async function recorded(directory: string): Promise<Map<string, Recorded>> {
    const [key = ''] = parseIdentities(
      readFileSync(join(directory, 'recording-keys', keyFiles.reader), 'utf8'),
    )
    await using store = await DirectoryStore.open(join(directory, 'recordings'))
    const names = readdirSync(join(directory, 'recordings'))
    assert.equal(names.length, 1, 'all is of one session')
    await using source = await store.open(names[0]?.replace('.fbrec', '') ?? '')
    assert.ok(source)
    const reader = await RecordingReader.open(source, [key])
    const sent = new Map<string | undefined, string>()
    for await (const { entry, of } of reader.entries())
      if (entry.type === 'input') sent.set(of, (sent.get(of) ?? '') + entry.bytes.toString())
    const found = new Map<string, Recorded>()
    for await (const event of exchanges(transcript(reader, { rows: 10, characters: 10_000_000 }))) {
      if (event.kind !== 'exchange') continue
      const { command } = event
      const path = command?.entry.objects.find((name) => name.startsWith('path '))?.slice('path '.length)
      assert.ok(command && path !== undefined && !found.has(path), 'each is there once')
      found.set(path, { exchange: event, sent: sent.get(command.entry.reference) ?? '' })
    }
    return found
  }

  for (const { name, requests } of concurrent)
    it(`show what is answered and sent beside ${name}`, async () => {
      await using guard = await shop.guard({
        more: `  recording: {mode: full, bytesPerCommand: ${bytesPerCommand}}\n  audit: {text: full}\n`,
      })
      await ask(guard, requests)
      await guard.stop()
      const found = await recorded(guard.directory)
      assert.equal(found.size, requests.length)
      for (const asked of requests) {
        const { exchange, sent } = found.get(asked.path) ?? {}
        const { results = [], outcome, inputBytes } = exchange?.answer ?? {}
        const shown = results.map(({ copied }) => copied).join('')
        const body = shown.slice(shown.indexOf('\n\n') + 2)
        assert.match(shown, /^HTTP 200\n/)
        assert.ok(answerTo(asked).startsWith(body) && body.includes(`answer to ${asked.path}.`))
        assert.equal(body.length + (outcome?.responseLeftOut ?? 0), answerTo(asked).length)
        assert.equal(outcome?.responseLeftOut === undefined, asked.kilobytes < 64)
        assert.equal(sent, sentTo(asked).slice(0, bytesPerCommand))
        assert.equal(inputBytes, sent.length)
      }
    })
})

async function received(stream: ClientHttp2Stream, length: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let seen = 0
    stream.on('error', reject).on('data', (chunk: Buffer) => {
      seen += chunk.length
      if (seen >= length) resolve()
    })
  })
}

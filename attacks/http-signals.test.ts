import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request as ask } from 'node:http'
import { parse } from 'yaml'
import { HttpShop } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface Step {
  /** Method and path. */
  readonly ask: string
  readonly times?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** That the API answers with. */
  readonly status?: number
}

interface Script {
  readonly name: string
  readonly signal: string
  readonly says?: string
  readonly steps: readonly Step[]
}

const { attacks, benign } = parse(readFileSync(new URL('http-signals.yaml', attacksDirectory), 'utf8')) as {
  attacks: readonly Script[]
  benign: readonly Script[]
}

const rules = `    - {name: work, match: {actions: ["http:read", "http:write", "mcp:tools/call.read_*"]}, effect: allow}
    - {name: private, match: {actions: ["http:*"], objects: [/private]}, effect: deny}
`

describe('signals of HTTP APIs', function () {
  this.timeout(60_000)
  let shop: HttpShop

  before(async () => {
    shop = await HttpShop.start()
  })
  after(() => shop[Symbol.asyncDispose]())

  const send = async (guard: Guard, { ask: line, headers = {}, body = '' }: Step): Promise<void> => {
    const [method, path] = line.split(' ')
    const all = { ...headers, ...(body !== '' && { 'content-type': 'application/json' }) }
    await new Promise<void>((resolve, reject) => {
      const sent = ask({ ...guard.address, method, path, headers: all }, (response) => {
        response.resume().on('end', () => resolve())
      })
      sent.on('error', reject).end(body)
    })
  }

  const play = async ({ signal, steps }: Script) => {
    await using guard = await shop.guard({
      rules,
      http: ', mcp: [/mcp]',
      more: `  signals: [{kind: ${signal}}]\n`,
    })
    for (const { times = 1, status = 200, ...step } of steps) {
      shop.answer = (_request, response) => response.writeHead(status).end()
      for (let n = 1; n <= times; n++) {
        const fill = (text: string): string =>
          text.replaceAll('{n}', String(n)).replaceAll('{word}', wordOf(n))
        await send(guard, { ...step, ask: fill(step.ask), body: fill(step.body ?? '') })
      }
    }
    // all that it has to tell is written then
    await guard.stop()
    return await guard.auditLines('signal', 0)
  }

  for (const script of attacks)
    it(`tell of ${script.name}`, async () => {
      const [found, ...more] = await play(script)
      assert.deepEqual([found?.kind, more.length], [script.signal, 0])
      const explanation = String(found?.explanation).replaceAll('’', "'")
      assert.ok(explanation.includes(script.says ?? ''), explanation)
    })

  for (const script of benign)
    it(`say nothing of ${script.name}`, async () => {
      assert.deepEqual(await play(script), [])
    })
})

/** A different one for each number, without digits. */
function wordOf(n: number): string {
  return 'a'.repeat(n)
}

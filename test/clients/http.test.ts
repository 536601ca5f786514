/** Real clients of HTTP see through the gateway what they see without it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import axios from 'axios'
import { python } from '../../tools/clients.ts'
import { HttpShop } from '../http-shop.ts'
import type { Guard } from '../shop.ts'
import { answer } from './http-programs/answer.ts'
import {
  goProgram,
  nodePrograms,
  pythonPackages,
  pythonProgram,
  type Seen,
  statuses,
} from './http-programs/programs.ts'

const run = promisify(execFile)

describe('clients of HTTP', function () {
  this.timeout(600_000)
  let shop: HttpShop
  let guard: Guard

  before(async () => {
    shop = await HttpShop.start(answer)
    guard = await shop.guard()
  })
  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  async function compare(see: (base: string) => Promise<readonly Seen[]>): Promise<void> {
    const direct = await see(`http://${shop.address}`)
    const before = shop.reached.length
    const guarded = await see(`http://127.0.0.1:${guard.address.port}`)
    assert.deepEqual(guarded, direct)
    assert.deepEqual(
      direct.map(({ status }) => status),
      statuses,
    )
    // and one more for the redirect
    assert.equal(shop.reached.length - before, statuses.length + 1)
  }

  async function compareProgram(...[command = '', ...args]: readonly string[]): Promise<void> {
    await compare(async (base) => JSON.parse((await run(command, [...args, base])).stdout) as Seen[])
  }

  for (const version of ['--http1.1', '--http2-prior-knowledge'])
    it(`curl ${version}`, async () => {
      const see = async (base: string, http: string): Promise<readonly Seen[]> => {
        // curl 7 can't use a connection of HTTP/2 twice, so redirects are followed by hand
        const ask = async (...words: string[]): Promise<Seen> => {
          const format = '\n%{http_code} %{redirect_url} %{content_type}'
          const { stdout } = await run('curl', ['-sS', '--compressed', http, '-w', format, ...words])
          const at = stdout.lastIndexOf('\n')
          const [status, redirect = '', ...type] = stdout.slice(at + 1).split(' ')
          if (redirect !== '') return await ask(redirect)
          return { status: Number(status), type: type.join(' '), body: stdout.slice(0, at) }
        }
        const json = ['-H', 'content-type: application/json']
        return [
          await ask(`${base}/users?sort=name&q=a%20b`),
          await ask(...json, '-d', '{"name":"Ada"}', `${base}/users`),
          await ask(...json, '-X', 'PUT', '-d', 'x'.repeat(100_000), `${base}/users/a%2Fb`),
          await ask(`${base}/redirect`),
          await ask(`${base}/compressed`),
          await ask(`${base}/missing`),
          await ask('-X', 'DELETE', `${base}/users/1`),
        ]
      }
      // the server itself speaks HTTP/1.1 alone
      await compare((base) => see(base, base.includes(shop.address) ? '--http1.1' : version))
    })

  for (const [client, program] of Object.entries(nodePrograms))
    it(client, async () => {
      await compareProgram(process.execPath, program)
    })

  it('axios, with what it reads and sends piece by piece, and what it makes of a refusal', async () => {
    await using denying = await shop.guard({
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: nothing-goes, match: {actions: ["http:delete"]}, effect: deny, message: ask somebody}
`,
    })
    const client = axios.create({ baseURL: `http://127.0.0.1:${denying.address.port}` })
    const { data: stream } = await client.get<Readable>('/compressed', { responseType: 'stream' })
    assert.equal((JSON.parse(await text(stream)) as { text: string }).text.length, 11_000)
    const pieces = Readable.from(Array.from({ length: 50 }, () => Buffer.alloc(4_096)))
    const { data: sent } = await client.post<{ body: number }>('/upload', pieces)
    assert.equal(sent.body, 50 * 4_096)
    const form = new FormData()
    form.append('file', new Blob(['x'.repeat(10_000)]), 'x.txt')
    const { data: received } = await client.post<{ type: string }>('/upload', form)
    assert.match(received.type, /^multipart\/form-data; boundary=/)
    await assert.rejects(client.delete('/users/1'), (error: unknown) => {
      assert.ok(axios.isAxiosError<{ detail: string; hint: string }>(error))
      assert.equal(error.response?.status, 403)
      assert.match(error.response.data.detail, /denied by policy default\/guard, rule nothing-goes/)
      assert.equal(error.response.data.hint, 'ask somebody')
      return true
    })
  })

  for (const [library, version] of Object.entries(pythonPackages))
    it(`Python ${library}`, async () => {
      await compareProgram(await python([version]), pythonProgram, library)
    })

  it('Go net/http', async () => {
    await compareProgram(await goProgram())
  })
})

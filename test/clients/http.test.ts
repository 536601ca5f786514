/** Real clients of HTTP see through the gateway what they see without it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import axios, { type AxiosRequestConfig } from 'axios'
import { python } from '../../tools/clients.ts'
import { compileOnce } from '../../tools/go-program.ts'
import { type Answer, HttpShop } from '../http-shop.ts'
import type { Guard } from '../shop.ts'

const run = promisify(execFile)

interface Seen {
  readonly status: number
  readonly type: string
  readonly body: string
}

const answer: Answer = (request, response, body) => {
  const { method, url = '' } = request
  if (url === '/redirect') response.writeHead(302, { location: '/users' }).end()
  else if (url === '/missing')
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error": "there is none"}')
  else if (url === '/compressed')
    response
      .writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
      .end(gzipSync('compressed '.repeat(1_000)))
  else
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ method, url, body: body.length, type: request.headers['content-type'] }))
}

const inPython = (library: string, follow: string): string => `
import json, sys, ${library} as client
answers = []
def do(method, path, body=None):
    headers = {"Content-Type": "application/json"} if body else {}
    answer = client.request(method, sys.argv[1] + path, headers=headers, ${follow}, **({"data": body} if body else {}))
    answers.append({"status": answer.status_code, "type": answer.headers.get("Content-Type", ""), "body": answer.text})
do("GET", "/users?sort=name&q=a%20b")
do("POST", "/users", '{"name":"Ada"}')
do("PUT", "/users/a%2Fb", "x" * 200000)
do("GET", "/redirect")
do("GET", "/compressed")
do("GET", "/missing")
print(json.dumps(answers))
`

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
      [200, 200, 200, 200, 200, 404],
    )
    // six, and one more for the redirect
    assert.equal(shop.reached.length - before, 7)
  }

  async function byPython(library: string, version: string, follow: string): Promise<void> {
    const interpreter = await python([`${library}==${version}`])
    await compare(async (base) => {
      const { stdout } = await run(interpreter, ['-c', inPython(library, follow), base])
      return JSON.parse(stdout) as Seen[]
    })
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
        ]
      }
      // the server itself speaks HTTP/1.1 alone
      await compare((base) => see(base, base.includes(shop.address) ? '--http1.1' : version))
    })

  it('fetch', async () => {
    await compare(async (base) => {
      const ask = async (path: string, options: RequestInit = {}): Promise<Seen> => {
        const response = await fetch(`${base}${path}`, options)
        return {
          status: response.status,
          type: response.headers.get('content-type') ?? '',
          body: await response.text(),
        }
      }
      const headers = { 'content-type': 'application/json' }
      return [
        await ask('/users?sort=name&q=a%20b'),
        await ask('/users', { method: 'POST', headers, body: '{"name":"Ada"}' }),
        await ask('/users/a%2Fb', { method: 'PUT', headers, body: 'x'.repeat(200_000) }),
        await ask('/redirect'),
        await ask('/compressed'),
        await ask('/missing'),
      ]
    })
  })

  it('axios', async () => {
    await compare(async (base) => {
      const client = axios.create({ baseURL: base, responseType: 'text', validateStatus: () => true })
      const ask = async (options: AxiosRequestConfig): Promise<Seen> => {
        const { status, headers, data } = await client.request<string>(options)
        return { status, type: String(headers['content-type'] ?? ''), body: data }
      }
      const headers = { 'content-type': 'application/json' }
      return [
        await ask({ url: '/users?sort=name', params: { q: 'a b' } }),
        await ask({ url: '/users', method: 'POST', data: { name: 'Ada' } }),
        await ask({ url: '/users/a%2Fb', method: 'PUT', headers, data: Buffer.alloc(200_000) }),
        await ask({ url: '/redirect' }),
        await ask({ url: '/compressed' }),
        await ask({ url: '/missing' }),
      ]
    })
  })

  it('axios, with what it reads and sends piece by piece, and what it makes of a refusal', async () => {
    await using denying = await shop.guard({
      rules: `    - {name: anything, match: {actions: ["http:*"]}, effect: allow}
    - {name: nothing-goes, match: {actions: ["http:delete"]}, effect: deny, message: ask somebody}
`,
    })
    const client = axios.create({ baseURL: `http://127.0.0.1:${denying.address.port}` })
    const { data: stream } = await client.get<Readable>('/compressed', { responseType: 'stream' })
    assert.equal((await text(stream)).length, 11_000)
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

  it('Python requests', async () => {
    await byPython('requests', '2.34.2', 'allow_redirects=True')
  })

  it('Python httpx', async () => {
    await byPython('httpx', '0.28.1', 'follow_redirects=True')
  })

  it('Go net/http', async () => {
    const program = await compileOnce({
      sources: fileURLToPath(new URL('http-go', import.meta.url)),
      main: '.',
      name: 'http',
      what: 'a client in Go',
    })
    await compare(async (base) => JSON.parse((await run(program, [base])).stdout) as Seen[])
  })
})

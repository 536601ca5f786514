import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { Result } from '../session.ts'
import { runForCredential } from './command.ts'
import type { ProvidedCredential } from './provider.ts'
import { askVault } from './vault.ts'

interface Expected {
  readonly name: string
  readonly gives?: ProvidedCredential
  readonly fails?: string
}

const { commands, answers } = parse(
  readFileSync(new URL('providers.test.yaml', import.meta.url), 'utf8'),
) as {
  commands: (Expected & {
    readonly script: string
    /** That it may take; else as long as any. */
    readonly milliseconds?: number
  })[]
  answers: (Expected & {
    readonly body?: unknown
    readonly raw?: string
    readonly status?: number
    readonly fields?: Readonly<Record<string, string>>
  })[]
}

function check(result: Result<ProvidedCredential, string>, { gives, fails }: Expected): void {
  if (gives) assert.deepEqual(result, { ok: true, value: gives })
  else {
    assert.ok(!result.ok)
    assert.ok(result.error.includes(fails ?? ''), result.error)
    assert.ok(!result.error.includes('secret'), 'the error quotes what came')
  }
}

describe('a program that gives a credential', function () {
  this.timeout(60_000)
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-command-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  for (const example of commands)
    it(`prints ${example.name}`, async () =>
      check(await runForCredential(['sh', '-c', example.script], directory, example.milliseconds), example))

  it('gets its arguments as they are, with no shell between', async () => {
    const argument = '$(id); `id` "quoted" * \\'
    const result = await runForCredential(['printf', '%s', argument], directory)
    assert.deepEqual(result, { ok: true, value: { password: argument } })
  })

  it('is found beside the manifests', async () => {
    writeFileSync(join(directory, 'give'), '#!/bin/sh\necho "from $(pwd)"\n')
    chmodSync(join(directory, 'give'), 0o755)
    const result = await runForCredential(['./give'], directory)
    assert.deepEqual(result, { ok: true, value: { password: `from ${directory}` } })
  })

  it('may be missing', async () => {
    assert.deepEqual(await runForCredential(['./missing'], directory), {
      ok: false,
      error: "the program ./missing can't be run (ENOENT)",
    })
  })
})

describe('a vault', () => {
  let server: Server
  let url: string
  let heard: IncomingHttpHeaders
  let answer: (typeof answers)[number]
  const read = (): Result<string, string> => ({ ok: true, value: 'vault-token' })
  const vault = (fields: Readonly<Record<string, string>> = {}): Parameters<typeof askVault>[0] => ({
    url,
    header: 'Authorization',
    usernameField: 'username',
    passwordField: 'password',
    leaseField: 'lease_duration',
    ...fields,
  })

  before(async () => {
    server = createServer((request, response) => {
      heard = request.headers
      response.writeHead(answer.status ?? 200, { location: '/elsewhere' })
      response.end(answer.raw ?? JSON.stringify(answer.body))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/secret/app`
  })
  after(() => server.close())

  for (const example of answers)
    it(`answers with ${example.name}`, async () => {
      answer = example
      check(await askVault(vault(example.fields), read, 0), example)
    })

  it('gets its token in the header that it wants', async () => {
    answer = { name: '', body: { password: 'p' } }
    const token = { env: { name: 'VAULT_TOKEN' } }
    await askVault({ ...vault(), token }, read, 0)
    assert.equal(heard.authorization, 'Bearer vault-token')
    await askVault({ ...vault({ header: 'X-Vault-Token' }), token }, read, 0)
    assert.equal(heard['x-vault-token'], 'vault-token')
    assert.equal(heard.authorization, undefined)
  })

  it('may have a URL that is none', async () => {
    const result = await askVault(vault({ url: 'https://vault example' }), read, 0)
    assert.deepEqual(result, { ok: false, error: 'the URL of the vault is not valid' })
  })

  it('may be away', async () => {
    const result = await askVault(vault({ url: 'http://127.0.0.1:1/' }), read, 0)
    assert.ok(!result.ok)
    assert.match(result.error, /^the vault at http:\/\/127\.0\.0\.1:1 gave no answer: connect ECONNREFUSED/)
  })
})

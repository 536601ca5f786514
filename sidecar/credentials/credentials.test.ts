import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventuallyWith } from '../../test/eventually.ts'
import { ManualClock } from '../../test/manual-clock.ts'
import { manifests } from '../../test/policies.ts'
import { type Configuration, loadConfiguration } from '../configuration/configuration.ts'
import { Credentials } from './credentials.ts'

const shop = 'default/shop'
const eventually = eventuallyWith(() => 'as often as the vault was asked', 30)

describe("roles' credentials", function () {
  this.timeout(60_000)
  let directory: string
  let server: Server
  let vault: string
  let answer: () => unknown
  let asked: number
  let clock: ManualClock
  let configuration: Configuration
  let credentials: Credentials
  let rotated: string[]

  before(async () => {
    server = createServer((_, response) => {
      asked++
      const body = answer()
      if (body === undefined) response.writeHead(503).end()
      else response.end(JSON.stringify(body))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    vault = `http: {url: "http://127.0.0.1:${(server.address() as AddressInfo).port}/app"}`
  })

  after(() => server.close())

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-credentials-'))
    clock = new ManualClock()
    rotated = []
    asked = 0
    credentials = new Credentials(
      () => configuration,
      clock,
      (resource, role, { username }) => rotated.push(`${resource} ${role} ${username}`),
    )
  })

  afterEach(() => rmSync(directory, { recursive: true }))

  const configure = (credential: string, more = ''): void => {
    const text = manifests({ address: '127.0.0.1:1', role: `credential: {${credential}}${more}` })
    writeFileSync(join(directory, 'firebreak.yaml'), text)
    const loaded = loadConfiguration(directory)
    assert.ok(loaded.configuration, loaded.problems[0]?.message)
    configuration = loaded.configuration
  }
  const current = async (): Promise<string> => {
    const credential = await credentials.current(shop, 'agent')
    return credential.ok ? `${credential.value.username} ${credential.value.password}` : credential.error
  }

  it('are read from a file each time', async () => {
    configure('file: {path: password}')
    writeFileSync(join(directory, 'password'), 'one\n')
    assert.equal(await current(), 'agent one')
    writeFileSync(join(directory, 'password'), 'two')
    assert.equal(await current(), 'agent two')
    rmSync(join(directory, 'password'))
    assert.match(await current(), /^the file password can't be read/)
    assert.deepEqual(rotated, ['default/shop agent agent'])
  })

  it('come from a Secret of the manifests in force', async () => {
    const secret = (password: string, username = 'username: app, '): string =>
      `\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {${username}password: ${password}}\n`
    const text = manifests({ address: '127.0.0.1:1', role: 'credential: {secret: {name: s}}' })
    for (const password of ['one', 'two']) {
      writeFileSync(join(directory, 'firebreak.yaml'), text + secret(password))
      configuration = loadConfiguration(directory).configuration ?? configuration
      assert.equal(await current(), `app ${password}`)
    }
    assert.equal(rotated.length, 1)
    writeFileSync(join(directory, 'firebreak.yaml'), text + secret('three', ''))
    configuration = loadConfiguration(directory).configuration ?? configuration
    assert.equal(await current(), 'agent three', 'a Secret without a name leaves it to the role')
  })

  it('are asked for once when many sessions come, and again a moment later', async () => {
    configure(vault)
    answer = () => ({ username: 'app', password: `p${asked}` })
    await Promise.all([current(), current(), current()])
    assert.equal(asked, 1)
    clock.pass(11_000)
    assert.equal(await current(), 'app p2')
    assert.deepEqual(rotated, ['default/shop agent app'])
  })

  it('are kept for most of their lease', async () => {
    configure(vault)
    answer = () => ({ username: `v-${asked}`, password: 'p', lease_duration: 100 })
    await current()
    clock.pass(79_000)
    assert.equal(await current(), 'v-1 p')
    clock.pass(2_000)
    assert.equal(await current(), 'v-2 p')
  })

  it('serve while the vault is away, but not beyond their lease', async () => {
    configure(vault)
    answer = () => ({ username: 'app', password: 'p', lease_duration: 100 })
    await current()
    answer = () => undefined
    clock.pass(99_000)
    assert.equal(await current(), 'app p')
    clock.pass(2_000)
    assert.match(await current(), /answered with status 503/)
  })

  it('without a lease serve for an hour while the vault is away', async () => {
    configure(vault)
    answer = () => ({ username: 'app', password: 'p' })
    await current()
    answer = () => undefined
    clock.pass(59 * 60_000)
    assert.equal(await current(), 'app p')
    clock.pass(2 * 60_000)
    assert.match(await current(), /answered with status 503/)
  })

  it('are the account that the manifest names, whatever the vault says', async () => {
    configure(vault, ', username: fixed')
    answer = () => ({ username: 'other', password: 'p' })
    assert.equal(await current(), 'fixed p')
  })

  it('are looked at by themselves only where their change ends sessions', async () => {
    answer = () => ({ username: 'app', password: `p${asked}` })
    const look = async (due: readonly number[]): Promise<void> => {
      for (let second = 1; second <= 65; second++) {
        clock.pass(1_000)
        credentials.tick([
          { resource: shop, role: 'agent' },
          { resource: shop, role: 'agent' },
          { resource: shop, role: 'gone' },
        ])
        await new Promise((resolve) => setTimeout(resolve, 1))
        if (!due.includes(second)) continue
        await eventually(() => String(asked), new RegExp(`^${due.indexOf(second) + 1}$`))
        // that answer is waited for: it is fresh then, and asks for no other
        await current()
      }
    }
    configure(`${vault}, onRotation: keep`)
    await look([])
    assert.equal(asked, 0)
    configure(`${vault}, onRotation: end`)
    await look([31, 61])
    assert.equal(asked, 2)
  })

  it('are gone with their role', async () => {
    configure(vault)
    assert.deepEqual(await credentials.current(shop, 'other'), { ok: false, error: 'the role is gone' })
  })
})

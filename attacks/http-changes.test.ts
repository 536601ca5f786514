import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'undici'
import { parse } from 'yaml'
import { type HttpPolicy, HttpShop, httpManifests } from '../test/http-shop.ts'
import { attacksDirectory, type Guard } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: string
  readonly between?: boolean
  readonly after: {
    readonly moved?: boolean
    readonly secret?: 'new'
    readonly authentication?: string
    readonly http?: string
    readonly denied?: string
    readonly condition?: string
  }
  readonly status?: number
  readonly reaches?: 'old' | 'new'
}

const { attacks, benign } = parse(readFileSync(new URL('http-changes.yaml', attacksDirectory), 'utf8')) as {
  attacks: Case[]
  benign: Case[]
}

describe('attacks by an HTTP API that is another one in the middle of a connection', function () {
  this.timeout(60_000)
  let places: Readonly<Record<'old' | 'new', HttpShop>>
  let tokens: HttpShop

  before(async () => {
    process.env.NEW_SECRET = 'the-new-secret'
    places = { old: await HttpShop.start(), new: await HttpShop.start() }
    tokens = await HttpShop.start()
  })
  after(async () => {
    for (const shop of [places.old, places.new, tokens]) await shop[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    for (const shop of [places.old, places.new, tokens]) shop.reached.length = 0
  })

  const manifestsAfter = ({ after }: Case, before: HttpPolicy): string => {
    const { moved, secret, authentication, http, denied, condition } = after
    const when = condition === undefined ? '' : `, condition: "${condition}"`
    const never = `    - {name: never, match: {actions: ["${denied}"]${when}}, effect: deny}\n`
    return httpManifests({
      ...before,
      address: moved ? places.new.address : places.old.address,
      // another name, by which the change is one of rules as well
      rules: `    - {name: whatever, match: {actions: ["http:*", "graphql:*"]}, effect: allow}\n${denied === undefined ? '' : never}`,
      ...(authentication !== undefined && { authentication }),
      ...(http !== undefined && { http }),
      ...(secret && { roles: '[{name: agent, credential: {env: {password: NEW_SECRET}}}]' }),
    })
  }

  /** Asks before and after the change, on one connection. */
  const ask = async (example: Case): Promise<{ readonly status: number; readonly text: string }> => {
    const applied = Promise.withResolvers<void>()
    let events = 0
    const before: HttpPolicy = example.between
      ? { authentication: `{as: oauth2, oauth2: {tokenUrl: "http://${tokens.address}/token"}}` }
      : {}
    await using guard = await places.old.guard(before, {
      onEvent: (event) => {
        if (event.kind === 'refused')
          applied.reject(new Error(event.problems.map(({ message }) => message).join('\n')))
        if (event.kind === 'applied' && ++events === 2) applied.resolve()
      },
    })
    const change = (): Promise<void> => {
      writeFileSync(join(guard.directory, 'firebreak.yaml'), manifestsAfter(example, before))
      return applied.promise
    }
    tokens.answer = async (_request, response) => {
      await change()
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end('{"access_token":"a-token","token_type":"bearer"}')
    }
    return await onOneConnection(guard, example, change)
  }

  const onOneConnection = async (
    { address }: Guard,
    { method, path, body: sent, between }: Case,
    change: () => Promise<void>,
  ) => {
    const client = new Client(`http://127.0.0.1:${address.port}`)
    const connected: unknown[] = []
    client.on('connect', (origin) => connected.push(origin))
    try {
      if (!between) {
        await (await client.request({ method: 'GET', path: '/before' })).body.dump()
        await change()
        places.old.reached.length = 0
      }
      const headers = sent === undefined ? {} : { 'content-type': 'application/json' }
      const { statusCode, body } = await client.request({ method, path, headers, body: sent ?? null })
      const text = await body.text()
      assert.equal(connected.length, 1)
      return { status: statusCode, text }
    } finally {
      await client.destroy()
    }
  }

  const reached = (): readonly string[] => {
    const { old, new: other } = places
    return [...old.reached.map(() => 'old'), ...other.reached.map(() => 'new')]
  }

  describe('are of no use for', () => {
    for (const attack of attacks)
      it(attack.name, async () => {
        const { status, text } = await ask(attack)
        assert.equal(status, attack.status, text)
        assert.deepEqual(reached(), attack.reaches ? [attack.reaches] : [])
        assert.doesNotMatch(JSON.stringify(places.old.reached), /the-new-secret/)
      })
  })

  describe('are not what one meets who', () => {
    for (const example of benign)
      it(example.name, async () => {
        const { status, text } = await ask(example)
        assert.equal(status, 200, text)
        assert.deepEqual(reached(), [example.reaches])
      })
  })
})

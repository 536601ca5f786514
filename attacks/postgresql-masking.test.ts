import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Address } from '@firebreak/sidecar'
import * as encode from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import { decodeDataRow } from '@firebreak/sidecar/protocols/postgresql/codec/server-messages.ts'
import { parse } from 'yaml'
import { errorIn, RawClient, type ReceivedFrame } from '../test/raw-client.ts'
import { attacksDirectory, type Guard, Shop, type ShopValues } from '../test/shop.ts'
import { comparable } from './postgresql-masking-twins/frames.ts'

interface Attack {
  readonly name: string
  readonly sql: string | readonly string[]
  readonly extended?: boolean
  readonly binary?: boolean
  readonly describe?: boolean
  readonly refused?: boolean
}

interface Keep {
  readonly name: string
  readonly sql: string
  readonly rows: readonly (readonly string[])[]
}

const data = parse(readFileSync(new URL('postgresql-masking.yaml', attacksDirectory), 'utf8')) as {
  values: { first: ShopValues; second: ShopValues }
  canaries: string[]
  attacks: Attack[]
  keeps: Keep[]
}

/** Ways in which a value could be spelled without being seen by a search for it. */
function spellings(canary: string): string[] {
  const bytes = Buffer.from(canary)
  return [
    canary,
    canary.toUpperCase(),
    bytes.toString('hex'),
    bytes.toString('base64').replace(/=+$/, ''),
    [...canary].reverse().join(''),
  ]
}

const spelled = data.canaries.flatMap(spellings)

function messages({ sql, extended, binary, describe }: Attack): Buffer[] {
  return [sql].flat().map((text) => {
    if (!extended) return encode.query(text)
    const bind = binary ? binaryBind() : encode.bind('', '')
    return Buffer.concat([
      encode.parse('', text),
      bind,
      ...(describe === false ? [] : [encode.describe('portal', '')]),
      encode.execute(''),
      encode.sync,
    ])
  })
}

/** Bind of the unnamed statement with all results in binary. */
function binaryBind(): Buffer {
  return Buffer.from([0x42, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1])
}

async function play(address: Address, database: string, attack: Attack): Promise<readonly ReceivedFrame[]> {
  const { client, greeting } = await RawClient.open(address, { user: 'agent', database })
  using session = client
  const error = errorIn(greeting)
  assert.equal(error, undefined, error?.get('M'))
  const answers: ReceivedFrame[] = []
  for (const message of messages(attack)) {
    session.send(message)
    answers.push(...(await session.until('Z')))
  }
  return answers
}

describe('attacks on masked values of PostgreSQL', function () {
  this.timeout(300_000)
  let shop: Shop
  let guard: Guard
  let pristine: readonly [string, string]
  let generation = 0

  const names = (): readonly [string, string] => [`first_${generation}`, `second_${generation}`]

  /** A fresh pair of databases, which differ only in the masked values. */
  const renew = async (): Promise<void> => {
    generation++
    const [first, second] = names()
    await shop.copy('first', first)
    await shop.copy('second', second)
    pristine = await fingerprints()
  }

  const fingerprints = async (): Promise<[string, string]> => {
    const [first, second] = names()
    return await Promise.all([shop.fingerprint(first), shop.fingerprint(second)])
  }

  const renewIfChanged = async (): Promise<void> => {
    const [first, second] = await fingerprints()
    if (first !== pristine[0] || second !== pristine[1]) await renew()
  }

  before(async () => {
    shop = await Shop.start()
    await shop.create('first', data.values.first)
    await shop.create('second', data.values.second)
    guard = await shop.guard('postgresql-masking-policy')
    await renew()
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  it('has at least forty ways', () => assert.ok(data.attacks.length >= 40))

  for (const attack of data.attacks) {
    it(`gives nothing away to ${attack.name}`, async () => {
      const [first, second] = names()
      const [one, other] = await Promise.all([
        play(guard.address, first, attack),
        play(guard.address, second, attack),
      ])
      const seen =
        Buffer.concat(one.map((frame) => frame.bytes)).toString('latin1') +
        Buffer.concat(other.map((frame) => frame.bytes)).toString('latin1')
      for (const canary of spelled)
        assert.ok(!seen.includes(canary), `the client has seen ${canary}: ${comparable(one).join('\n')}`)
      assert.deepEqual(comparable(one), comparable(other))
      if (attack.refused) {
        const lastError = errorIn([...one].reverse())
        assert.equal(lastError?.get('C'), '42501', comparable(one).join('\n'))
      }
      await renewIfChanged()
    })
  }

  for (const keep of data.keeps) {
    it(`keeps ${keep.name}`, async () => {
      const [first] = names()
      const frames = await play(guard.address, first, { name: keep.name, sql: keep.sql })
      const rows = frames
        .filter((frame) => frame.type === 'D')
        .map((frame) =>
          decodeDataRow(frame.bytes, 0, frame.bytes.length)?.map((value) => value?.toString('utf8')),
        )
      assert.deepEqual(rows, keep.rows, errorIn(frames)?.get('M'))
      await renewIfChanged()
    })
  }
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Address } from '@firebreak/sidecar'
import * as encode from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import {
  decodeCommandTag,
  decodeDataRow,
} from '@firebreak/sidecar/protocols/postgresql/codec/server-messages.ts'
import { parse } from 'yaml'
import { errorIn, RawClient, type ReceivedFrame } from '../test/raw-client.ts'
import { attacksDirectory, type Guard, Shop } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly sql?: string | readonly string[]
  /** The bytes of a text that is no valid UTF-8, or holds a NUL. */
  readonly sqlHex?: string
  readonly thenHex?: string
  readonly extended?: boolean
  readonly options?: Readonly<Record<string, string>>
  readonly padding?: number
  readonly nestedComments?: number
  readonly parentheses?: number
  readonly refusedBy?: 'either'
  /** SQLSTATE that the server itself answers with. */
  readonly error?: string
}

const { attacks, benign } = parse(readFileSync(new URL('postgresql.yaml', attacksDirectory), 'utf8')) as {
  attacks: Case[]
  benign: Case[]
}

/** The shop, with what its owner has installed. */
async function createShop(shop: Shop): Promise<void> {
  await shop.create('shop')
  await shop.admin('shop', readFileSync(new URL('postgresql-installed.sql', attacksDirectory), 'utf8'))
}

/** The messages of a case, one batch for each text. */
function messages({
  sql = [],
  sqlHex,
  thenHex,
  extended,
  padding = 0,
  nestedComments = 0,
  parentheses = 0,
}: Case): Buffer[] {
  const texts = [sql].flat().map((text) => {
    const comments =
      nestedComments === 0 ? '' : `${'/*'.repeat(nestedComments)}${'*/'.repeat(nestedComments)}`
    const nested = parentheses === 0 ? '' : `SELECT ${'('.repeat(parentheses)}1${')'.repeat(parentheses)};`
    return `${' '.repeat(padding)}${comments}${nested}${text}`
  })
  const plain = texts.map((text) =>
    extended
      ? Buffer.concat([
          encode.parse('', text),
          encode.bind('', ''),
          encode.describe('portal', ''),
          encode.execute(''),
          encode.sync,
        ])
      : encode.query(text),
  )
  return [
    ...plain,
    ...[sqlHex, thenHex].filter((hex) => hex !== undefined).map((hex) => rawQuery(Buffer.from(hex, 'hex'))),
  ]
}

function rawQuery(text: Buffer): Buffer {
  const message = encode.query('')
  const frame = Buffer.concat([message.subarray(0, 5), text, Buffer.from([0])])
  frame.writeInt32BE(frame.length - 1, 1)
  return frame
}

/** @returns the frames that answered each message; the greeting's when the connection was refused. */
async function play(
  address: Address,
  database: string,
  user: string,
  attack: Case,
): Promise<readonly (readonly ReceivedFrame[])[]> {
  const { client, greeting } = await RawClient.open(address, { user, database, ...attack.options })
  using session = client
  if (errorIn(greeting)) return [greeting]
  const answers: (readonly ReceivedFrame[])[] = []
  for (const message of messages(attack)) {
    session.send(message)
    answers.push(await session.until('Z'))
  }
  return answers
}

describe('attacks on PostgreSQL', function () {
  this.timeout(300_000)
  let shop: Shop
  let guard: Guard
  let untouched: string

  before(async () => {
    shop = await Shop.start()
    await createShop(shop)
    guard = await shop.guard('postgresql-policy', 'shop')
    untouched = await shop.fingerprint('shop')
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  it('has at least a hundred disguises and eighty look-alikes', () => {
    assert.ok(attacks.length >= 100)
    assert.ok(benign.length >= 80)
  })

  for (const attack of attacks) {
    it(`stops ${attack.name}`, async () => {
      const answers = await play(guard.address, 'shop', 'agent', attack)
      const error = errorIn(answers.at(-1) ?? [])
      assert.ok(
        error,
        `not refused: ${JSON.stringify(answers.at(-1)?.map((frame) => frame.bytes.toString('latin1')))}`,
      )
      if (attack.refusedBy !== 'either') assert.equal(error.get('C'), '42501', error.get('M'))
      assert.equal(await shop.fingerprint('shop'), untouched, 'the shop is not what it was')
    })
  }
})

describe('look-alikes of attacks on PostgreSQL', function () {
  this.timeout(300_000)
  let shop: Shop
  let guard: Guard

  before(async () => {
    shop = await Shop.start()
    await createShop(shop)
    await shop.copy('shop', 'direct')
    guard = await shop.guard('postgresql-policy', 'shop')
  })

  after(async () => {
    await guard[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  for (const lookAlike of benign) {
    it(`lets ${lookAlike.name} pass`, async () => {
      const guarded = readable(await play(guard.address, 'shop', 'agent', lookAlike))
      const direct = readable(await play(shop.postgres, 'direct', 'postgres', lookAlike))
      assert.deepEqual(guarded, direct)
      const errors = guarded.filter((line) => line.startsWith('error'))
      assert.deepEqual(
        errors,
        lookAlike.error === undefined
          ? []
          : errors.filter((line) => line.startsWith(`error ${lookAlike.error}`)),
      )
      if (lookAlike.error !== undefined) assert.notEqual(errors.length, 0)
    })
  }
})

/** What a user sees of the answers: rows, tags and errors. */
function readable(answers: readonly (readonly ReceivedFrame[])[]): string[] {
  return answers.flat().flatMap(({ type, bytes }) => {
    if (type === 'D')
      return [
        `row ${decodeDataRow(bytes, 0, bytes.length)
          ?.map((value) => value?.toString('utf8') ?? 'NULL')
          .join(' | ')}`,
      ]
    if (type === 'd') return [`copy ${bytes.subarray(5).toString('utf8')}`]
    if (type === 'C') return [`tag ${decodeCommandTag(bytes, 0, bytes.length)}`]
    const error = type === 'E' ? errorIn([{ type, bytes }]) : undefined
    return error ? [`error ${error.get('C')} ${error.get('M')}`] : []
  })
}

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostile, RecordedShop } from '../../test/recorded-shop.ts'

describe('firebreak replay', function () {
  this.timeout(600_000)
  let shop: RecordedShop
  let id: string

  before(async () => {
    shop = await RecordedShop.start([
      async (client) => {
        await client.query('SELECT id, email, NULL AS nothing FROM customers ORDER BY id LIMIT 2')
        await client.query('DROP TABLE orders').catch(() => {})
        await client.query('SELECT $1::text AS said', [hostile])
        await client.query("SELECT repeat('x', 1000) AS long FROM generate_series(1, 100)")
        await client.query('SELECT 1/0').catch(() => {})
        await client.query('SELECT 1 AS one; SELECT n AS two FROM generate_series(1, 3) n')
      },
    ])
    id = readdirSync(join(shop.directory, 'recordings'))[0]?.replace('.fbrec', '') ?? ''
  })
  after(() => shop[Symbol.asyncDispose]())

  it('prints commands, decisions and tables, with what was masked and denied said so', () => {
    const { status, output } = shop.firebreak('replay', id)
    assert.equal(status, 0)
    assert.match(output, /^Session \w+ of default\/tester with default\/shop as agent, /)
    assert.ok(output.includes('#1 allow  SELECT id, email, NULL AS nothing FROM customers'))
    const [head, rule, first] = output.split('\n').slice(3)
    assert.match(head ?? '', /^ {4}id │ email \(masked\) │ nothing$/)
    assert.match(rule ?? '', /^ {4}─+┼─+┼─+$/)
    assert.match(first ?? '', /^ {4}1 +│ \*{8} +│ NULL$/)
    assert.ok(output.includes('#1: 2 rows'))
    assert.ok(output.includes('masked: email'))
    assert.match(output, /#2 deny {2}DROP TABLE orders\n {4}policy default\/guard, rule no-drop: /)
    assert.match(output, /ERROR 22012: division by zero/)
    assert.match(output, /── cut here: \d+ bytes of the response are not in the recording \(limit 4096\) ──/)
    assert.match(output, /#6 allow {2}SELECT 1 AS one\n.*#7 allow {2}SELECT n AS two/)
    assert.match(
      output,
      /\n {4}one\n {4}───\n {4}1\n.*#6: 1 row,.*\n {4}two\n {4}───\n {4}1\n {4}2\n {4}3\n.*#7: 3 rows,/,
    )
    assert.match(output, /ends after 6 commands and [\d.]+ s\n$/)
  })

  it('writes no character that a terminal obeys', () => {
    const { output } = shop.firebreak('replay', id)
    assert.ok(
      output.includes(
        '</script><img src=http://attacker.invalid/x onerror=alert(1)>\\u{1b}]0;own\\u{7}\\u{202e}gnp\\u{2028}',
      ),
    )
    assert.doesNotMatch(output, /[^\P{C}\n]|\p{Zl}/u)
  })

  it('begins with a command, or at a moment', () => {
    const { output } = shop.firebreak('replay', id, '--command', '5')
    assert.ok(!output.includes('#4'))
    assert.match(output, /#5 allow {2}SELECT 1\/0\n/)
    assert.match(
      shop.firebreak('replay', id, '--command', '8').stderr,
      /there is no command 8: the recording has 7/,
    )
    assert.doesNotMatch(shop.firebreak('replay', id, '--at', '1:00:00').output, /#/)
    assert.equal(shop.firebreak('replay', id, '--at', 'noon').status, 2)
  })

  it('shows no more rows than asked for, and says how many there were', () => {
    assert.match(
      shop.firebreak('replay', id, '--rows', '1').output,
      /1 more rows are not shown\n.*#1: 2 rows/,
    )
  })

  it('says that an end is missing, and where something was altered', () => {
    const path = join(shop.directory, 'recordings', `${id}.fbrec`)
    const bytes = readFileSync(path)
    try {
      writeFileSync(path, bytes.subarray(0, -400))
      assert.match(
        shop.firebreak('replay', id).output,
        /── no end: it is being written, the gateway was killed/,
      )
      const altered = Buffer.from(bytes)
      altered.writeUInt8(altered.readUInt8(bytes.length - 300) ^ 1, bytes.length - 300)
      writeFileSync(path, altered)
      const { status, output } = shop.firebreak('replay', id)
      assert.match(output, /── altered: recording \w+ was altered at byte \d+/)
      assert.equal(status, 1)
    } finally {
      writeFileSync(path, bytes)
    }
  })

  it('takes no recording in the place of another, and none that somebody else signed', () => {
    const path = join(shop.directory, 'recordings', '01ABCDEFGH0123456789ABCDEF.fbrec')
    writeFileSync(path, readFileSync(join(shop.directory, 'recordings', `${id}.fbrec`)))
    assert.match(
      shop.firebreak('replay', '01ABCDEFGH0123456789ABCDEF').stderr,
      /01ABC\w+ can't be believed: this is another recording/,
    )
    assert.match(shop.firebreak('replay', id, '--signer', 'A'.repeat(43)).stderr, /which is not trusted/)
    assert.match(shop.firebreak('replay', '01ABCDEFGH0123456789ABCDXX').stderr, /there is no recording/)
  })
})

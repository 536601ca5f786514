import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { eventuallyWith } from '../../../test/eventually.ts'
import { hostile, RecordedShop } from '../../../test/recorded-shop.ts'
import { startBrowser } from '../../../tools/browser.ts'
import { printable } from '../../approvals/text.ts'

describe('firebreak sessions export', function () {
  this.timeout(600_000)
  let shop: RecordedShop
  let id: string
  let file: string

  before(async () => {
    shop = await RecordedShop.start([
      async (client) => {
        await client.query("SELECT id, email, NULL AS nothing, 'a <b>' AS markup FROM customers ORDER BY id")
        await client.query('DROP TABLE orders').catch(() => {})
        await client.query('SELECT $1::text AS said', [hostile])
        await client.query(`SELECT 1 AS "${hostile.slice(0, 20)}"`)
        await client.query("SELECT repeat('x', 1000) AS long FROM generate_series(1, 100)")
      },
    ])
    id = readdirSync(join(shop.directory, 'recordings'))[0]?.replace('.fbrec', '') ?? ''
    file = join(shop.directory, 'session.html')
  })
  after(() => shop[Symbol.asyncDispose]())

  function exported(...words: string[]): string {
    const { status, stderr } = shop.firebreak('sessions', 'export', id, '--html', file, ...words)
    assert.equal(stderr, '')
    assert.equal(status, 0)
    return readFileSync(file, 'utf8')
  }

  it('writes a page for its owner, in which nothing that was recorded is markup', () => {
    writeFileSync(file, 'what was there before', { mode: 0o644 })
    const html = exported()
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.equal(html.match(/<script|<\/script/g)?.length, 2)
    for (const [tag] of html.matchAll(/<[^>]*>/g))
      assert.doesNotMatch(tag, /^<(img|link|iframe|object|embed|base)|\s(src|on\w+)=/)
    assert.doesNotMatch(html, /url\(|@import/)
    assert.doesNotMatch(html, /[^\P{C}\n]|\p{Zl}/u)
    assert.doesNotMatch(html, /person[123]@/)
    for (const [, link = ''] of html.matchAll(/href="([^"]*)"/g)) assert.match(link, /^#c\d+$/)
  })

  it('writes JSON lines', () => {
    const { output, status } = shop.firebreak('sessions', 'export', id, '--json', '-')
    assert.equal(status, 0)
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(
      lines.map(({ kind }) => kind),
      ['recording', 'start', ...Array<string>(5).fill('exchange'), 'end'],
    )
    const [{ recording, state, key } = {}, , , denied, said] = lines
    assert.deepEqual([recording, state, key], [id, 'whole', undefined])
    assert.deepEqual(
      [denied?.number, (denied?.command as { decision?: string } | undefined)?.decision],
      [2, 'deny'],
    )
    assert.deepEqual((said?.results as { rows: unknown }[] | undefined)?.[0]?.rows, [[hostile]])
  })

  it('says what was altered, and writes what comes before', () => {
    const path = join(shop.directory, 'recordings', `${id}.fbrec`)
    const bytes = readFileSync(path)
    const altered = Buffer.from(bytes)
    altered.writeUInt8(altered.readUInt8(bytes.length - 300) ^ 1, bytes.length - 300)
    writeFileSync(path, altered)
    try {
      const { status } = shop.firebreak('sessions', 'export', id, '--html', file)
      assert.equal(status, 1)
      assert.match(readFileSync(file, 'utf8'), /<dd>altered in block \d+: .*<p class="altered">/s)
    } finally {
      writeFileSync(path, bytes)
    }
  })

  describe('in a browser', () => {
    let browser: Browser
    let page: Page
    const eventually = eventuallyWith(() => requested.join('\n'), 60)
    const requested: string[] = []
    const complaints: string[] = []

    before(async function () {
      this.timeout('10m')
      browser = await startBrowser()
      page = await browser.newPage()
      page.setDefaultTimeout(120_000)
      page.on('request', (request) => requested.push(request.url()))
      page.on('console', (message) => complaints.push(message.text()))
      page.on('pageerror', (error) => complaints.push(error.message))
      page.on('dialog', (dialog) => {
        complaints.push(dialog.message())
        void dialog.dismiss()
      })
      exported()
      await page.goto(pathToFileURL(file).href)
    })
    after(() => browser?.close())

    /** Cells of the table of a command. */
    const cells = (command: number): Promise<string[][]> =>
      page
        .locator(`#c${command} tr`)
        .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent ?? '')))

    it('shows the rows that were recorded, and what was masked as masked', async () => {
      const [head, ...rows] = await cells(1)
      assert.deepEqual(head, ['id', 'email (masked)', 'nothing', 'markup'])
      const { output } = shop.firebreak('sessions', 'export', id, '--json', '-')
      const recorded = output
        .split('\n')
        .map(
          (line) =>
            line && (JSON.parse(line) as { number?: number; results?: { rows: (string | null)[][] }[] }),
        )
      const first = recorded.find((line) => line !== '' && line.number === 1)
      assert.ok(first && rows.length > 0)
      assert.deepEqual(
        rows,
        first.results?.[0]?.rows.map((row) => row.map((value) => value ?? 'NULL')),
      )
      assert.equal(await page.locator('#c1 td.masked').first().textContent(), '********')
      assert.deepEqual(await cells(3), [['said'], [printable(hostile)]])
    })

    it('shows what was denied and why, and where an answer is cut', async () => {
      assert.match(
        (await page.locator('#c2.deny .why').textContent()) ?? '',
        /policy default\/guard, rule no-drop/,
      )
      assert.match((await page.locator('#c5 .mark').first().textContent()) ?? '', /^cut here: \d+ bytes/)
      assert.ok((await page.locator('#timeline rect.deny').count()) === 1)
    })

    it('filters', async () => {
      const shown = (): Promise<string[]> =>
        page.locator('article:visible').evaluateAll((articles) => articles.map(({ id }) => id))
      assert.equal((await shown()).length, 5)
      await page.fill('#filter input[type=search]', 'drop orders')
      assert.deepEqual(await shown(), ['c2'])
      await page.uncheck('#filter input[value=deny]')
      assert.deepEqual(await shown(), [])
      assert.equal(await page.locator('#filter output').textContent(), '0 of 5 commands')
    })

    it('asks for nothing, complains of nothing, and may do neither', async () => {
      assert.deepEqual(requested, [pathToFileURL(file).href])
      assert.deepEqual(complaints, [])
      await page.evaluate(
        "document.body.append(Object.assign(new Image(), { src: 'http://attacker.invalid/x' }))",
      )
      await eventually(() => complaints.join(' '), /Content Security Policy/)
    })
  })
})

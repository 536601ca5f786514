import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventuallyWith } from '../../test/eventually.ts'
import { httpManifests } from '../../test/http-shop.ts'
import { Standalone } from './standalone.ts'

const eventually = eventuallyWith(() => 'as often as a configuration was put in force', 30)
const rules = (action: string): string =>
  `    - {name: some, match: {actions: ["http:${action}"]}, effect: allow}\n`

describe('a gateway that begins', function () {
  this.timeout(60_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-standalone-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('reads again what is written meanwhile', async () => {
    const write = (action: string): void =>
      writeFileSync(
        join(directory, 'firebreak.yaml'),
        httpManifests({ address: '127.0.0.1:1', rules: rules(action) }),
      )
    const revisions: string[] = []
    write('read')
    const starting = Standalone.start({
      directory,
      audit: [{ kind: 'file', path: join(directory, 'audit.jsonl') }],
      listen: new Map([['shop', { host: '127.0.0.1', port: 0 }]]),
      onEvent: (event) => event.kind === 'applied' && revisions.push(event.revision),
    })
    // it has read the first one, and opens its audit trail
    write('delete')
    await using _ = await starting
    await eventually(() => String(revisions.length), /^2$/)
    assert.notEqual(revisions[0], revisions[1])
  })
})

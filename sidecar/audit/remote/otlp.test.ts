/** Audit lines on their way through a real OpenTelemetry collector, as it understood them. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { untilTrue } from '../../../test/eventually.ts'
import { Collector } from '../../../tools/collector.ts'
import { Audit } from '../audit.ts'
import type { Notices } from '../lines.ts'
import type { AuditTarget } from '../target.ts'
import { ended, everything, notices, proof, who } from '../testdata/every-line.ts'
import { verifyTrail } from '../verify.ts'
import { LogServer } from './testdata/log-server.ts'

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string }
}

interface LogRecord {
  readonly timeUnixNano: string
  readonly severityNumber: number
  readonly eventName: string
  readonly body: { readonly stringValue: string }
  readonly attributes: readonly Attribute[]
}

interface Exported {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeLogs: readonly { readonly logRecords: readonly LogRecord[] }[]
  }[]
}

function valuesOf(attributes: readonly Attribute[]): Record<string, string | undefined> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))
}

describe('audit trail by OTLP', function () {
  this.timeout(600_000)
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  async function open(url: string, spool: string): Promise<{ readonly audit: Audit; readonly path: string }> {
    const path = join(directory, `${spool}.jsonl`)
    const language = { normalize: (text: string) => text, mayHoldSecret: () => false }
    const events = { failed() {}, recovered() {}, undelivered() {}, delivered() {} }
    const targets: AuditTarget[] = [
      { kind: 'file', path },
      { kind: 'otlp', url, headers: {}, spool: { directory: join(directory, spool), limit: 2 ** 28 } },
    ]
    return { audit: await Audit.open(targets, language, events), path }
  }

  it('is understood by a collector, and can be verified behind it', async () => {
    await using server = await LogServer.start()
    server.answerBody = '{}'
    await using collector = await Collector.start(server.url)
    const { audit, path } = await open(`${collector.url}/v1/logs`, 'collector')
    audit.command(who, everything, { text: 'full', onFailure: 'block' })
    audit.session('session.start', who, { proof })
    audit.session('session.end', who, ended)
    const events = (Object.keys(notices) as (keyof Notices)[]).filter((event) => !event.startsWith('audit.'))
    for (const event of events) audit.notice(event, notices[event])
    const resources = (): Exported['resourceLogs'] =>
      server.requests.flatMap(({ body }) => (JSON.parse(body) as Exported).resourceLogs)
    // a collector may pass on side by side what it got one after the other
    const seqOf = ({ body }: LogRecord): number => (JSON.parse(body.stringValue) as { seq: number }).seq
    const recordsSoFar = (): readonly LogRecord[] =>
      resources().flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
    async function recordsOnce(count: number): Promise<readonly LogRecord[]> {
      await untilTrue(
        () => recordsSoFar().length >= count,
        () => `only ${recordsSoFar().length} of ${count} came`,
      )
      return recordsSoFar().toSorted((a, b) => seqOf(a) - seqOf(b))
    }
    // with those of the run's beginning, of the command and of the session; what it ends with has 3 s to get there
    await recordsOnce(events.length + 4)
    assert.equal(await audit.close(), 0)
    const written = readFileSync(path, 'utf8')
    const records = await recordsOnce(written.split('\n').length - 1)
    assert.equal(records.map(({ body }) => `${body.stringValue}\n`).join(''), written)
    const stream = Readable.from([Buffer.from(records.map(({ body }) => `${body.stringValue}\n`).join(''))])
    assert.deepEqual((await verifyTrail([{ name: 'collector', stream }])).problems, [])
    const [, command] = records
    assert.ok(command)
    const line = JSON.parse(command.body.stringValue) as Record<string, string>
    assert.equal(command.eventName, 'firebreak.command')
    assert.equal(command.severityNumber, 13)
    assert.equal(command.timeUnixNano, `${Date.parse(String(line.time))}000000`)
    assert.deepEqual(valuesOf(command.attributes), {
      'firebreak.event': 'command',
      'firebreak.seq': '2',
      'firebreak.reference': 'R1',
      'firebreak.session': 'S1',
      'firebreak.identity': 'agents/worker',
      'firebreak.resource': 'agents/orders',
      'firebreak.role': 'reader',
      'firebreak.decision': 'deny',
      'firebreak.policy': 'agents/guard',
      'firebreak.rule': 'keep',
      'ocsf.class_uid': '6005',
      'ocsf.activity_id': '1',
      'ocsf.severity_id': '3',
    })
    assert.deepEqual(valuesOf(resources()[0]?.resource.attributes ?? []), {
      'service.name': 'firebreak',
      'service.instance.id': line.source,
    })
  })

  it('has a line that says how many records a collector rejected', async () => {
    await using server = await LogServer.start()
    server.answerBody = '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}'
    const { audit, path } = await open(server.url, 'rejecting')
    await untilTrue(() => server.requests.length >= 2, 'nothing was said of what is rejected')
    await delay(500)
    assert.equal(server.requests.length, 2, 'the line that says so is rejected too, and that is that')
    server.answerBody = '{}'
    await audit.close()
    const dropped = readFileSync(path, 'utf8')
      .split('\n')
      .find((line) => line.includes('"audit.dropped"'))
    const { sink, count } = JSON.parse(dropped ?? '{}') as { sink?: string; count?: number }
    assert.deepEqual([sink, count], [server.url, 1])
  })
})

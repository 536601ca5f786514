/** Every kind of line, as an event of OCSF, against OCSF's own schema. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Touch } from '@firebreak/policy'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { python } from '../../../tools/clients.ts'
import { Audit } from '../audit.ts'
import type { Notices } from '../lines.ts'
import { allowed, command, ended, everything, notices, proof, who } from '../testdata/every-line.ts'
import { ocsfClassOf, ocsfEvent, readLine } from './ocsf.ts'

const schemaProgram = `
import json, sys
from ocsf_json_schema import OcsfJsonSchema, OcsfJsonSchemaEmbedded, get_ocsf_schema
schema = OcsfJsonSchemaEmbedded(OcsfJsonSchema(get_ocsf_schema('1.8.0')))
print(json.dumps({uid: schema.get_class_schema(schema.lookup_class_name_from_uid(int(uid))) for uid in sys.argv[1:]}))
`

interface Event {
  readonly class_uid: number
  readonly activity_id: number
  readonly severity_id: number
  readonly status_id: number
  readonly raw_data: string
}

async function everyLine(): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
  try {
    const path = join(directory, 'audit.jsonl')
    const language = { normalize: (text: string) => text, mayHoldSecret: () => false }
    const events = { failed: assert.fail, recovered() {}, undelivered() {}, delivered() {} }
    const audit = await Audit.open([{ kind: 'file', path }], language, events)
    const policy = { text: 'full', onFailure: 'block' } as const
    audit.command(who, everything, policy)
    audit.command(who, { ...everything, decision: allowed }, { ...policy, text: 'digest' })
    for (const [action, path] of [
      ['sql:drop', ['public', 'orders']],
      ['ssh:exec', ['ls']],
      ['k8s:delete', ['pods']],
    ] as const) {
      const touches: Touch[] = [{ action, object: { kind: 'table', path }, origin: 'direct' }]
      audit.command(who, { ...everything, command: command('x', { touches }) }, policy)
    }
    audit.session('session.start', who, { proof })
    audit.session('session.end', who, ended)
    for (const event of Object.keys(notices) as (keyof Notices)[]) audit.notice(event, notices[event])
    await audit.close()
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

describe('audit lines as OCSF events', function () {
  this.timeout(300_000)
  let lines: string[]
  let events: Event[]
  before(async () => {
    lines = await everyLine()
    events = lines.map((line) => JSON.parse(JSON.stringify(ocsfEvent(line))) as Event)
  })

  it("are valid by OCSF's own schema, and have the line as it stands", async () => {
    const classes = [...new Set(events.map(({ class_uid }) => String(class_uid)))]
    const interpreter = await python(['ocsf-json-schema==1.2.0'])
    const { stdout } = await promisify(execFile)(interpreter, ['-c', schemaProgram, ...classes], {
      maxBuffer: 2 ** 28,
    })
    const schemas = JSON.parse(stdout) as Record<string, object>
    const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false })
    const validators = new Map(classes.map((uid) => [uid, ajv.compile(schemas[uid] ?? {})]))
    for (const [index, event] of events.entries()) {
      const validate = validators.get(String(event.class_uid))
      assert.ok(validate?.(event), `${lines[index]}\n${JSON.stringify(validate?.errors, undefined, 1)}`)
      assert.equal(event.raw_data, lines[index])
    }
    assert.equal(validators.get('6005')?.({ ...events[1], activity_id: 'x' }), false, 'the schema says no')
  })

  it('are mapped as docs/audit.md says', () => {
    const text = readFileSync(new URL('../../../docs/audit.md', import.meta.url), 'utf8')
    const [table = ''] = text.slice(text.indexOf('| event | class |')).split('\n\n')
    const documented = new Map<string, { readonly classUid: number; readonly activities: string }>()
    for (const row of table.split('\n').slice(2)) {
      const [, names = '', class_ = '', activities = ''] = row.split('|').map((cell) => cell.trim())
      for (const name of names.split(/, (?!of )/))
        documented.set(name, { classUid: Number.parseInt(class_, 10), activities })
    }
    const commands = { 6005: 'command, of a database', 6003: 'command, of another system' } as const
    for (const text of lines) {
      const line = readLine(text)
      assert.ok(line)
      const { classUid, activityId } = ocsfClassOf(line)
      const name = line.event === 'command' ? commands[classUid as keyof typeof commands] : line.event
      const row = documented.get(name)
      assert.ok(row, `${name} is not documented`)
      assert.equal(classUid, row.classUid, name)
      assert.match(row.activities, new RegExp(`\\b${activityId}\\b`), name)
    }
  })

  it('say what was denied, failed, or is critical', () => {
    const of = (event: string, wanted: object): void => {
      const found = events.find(({ raw_data }) => JSON.parse(raw_data).event === event)
      assert.ok(found)
      const { status_id, severity_id, activity_id } = found
      assert.deepEqual({ status_id, severity_id, activity_id }, wanted, event)
    }
    of('command', { status_id: 2, severity_id: 3, activity_id: 1 })
    of('session.start', { status_id: 1, severity_id: 1, activity_id: 1 })
    of('session.refused', { status_id: 2, severity_id: 3, activity_id: 1 })
    of('signal', { status_id: 1, severity_id: 4, activity_id: 1 })
    of('account.dropped', { status_id: 1, severity_id: 1, activity_id: 6 })
    of('audit.dropped', { status_id: 2, severity_id: 4, activity_id: 99 })
  })

  it('are none where there is no line', () => {
    for (const text of ['', '{', '1', 'null', '{"event":"toString"}'])
      assert.equal(ocsfEvent(text), undefined)
  })
})

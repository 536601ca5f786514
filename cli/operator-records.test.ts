import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newReaderKey } from '../sidecar/recording/testdata/recordings.ts'
import { parseRecords } from './operator-records.ts'

describe("the operator's options about records", () => {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-operator-records-'))
  const file = (name: string): string => join(directory, name)
  let recipient = ''
  before(async () => {
    recipient = (await newReaderKey()).recipient
    for (const name of ['id', 'key', 'password']) writeFileSync(file(name), `the ${name} of a test\n`)
  })
  after(() => rmSync(directory, { recursive: true }))

  const s3 = (more = ''): string =>
    `s3://audit/x,access-key-file=${file('id')},secret-key-file=${file('key')}${more}`

  it('are read again with what their files hold then', async () => {
    const read = await parseRecords({
      recordings: s3(',endpoint=https://objects.example'),
      'recording-key': [recipient],
      audit: [`postgresql://a@db.example/audit,password-file=${file('password')}`],
    })
    assert.ok(read)
    const secret = (): unknown => {
      const { target } = read().recordings ?? {}
      return target?.kind === 's3' && target.credentials?.secretAccessKey
    }
    assert.equal(secret(), 'the key of a test')
    writeFileSync(file('key'), 'another key')
    assert.equal(secret(), 'another key')
    const [sink] = read().audit
    assert.equal(sink?.kind === 'postgresql' && sink.password, 'the password of a test')
    assert.ok(sink && !('spool' in sink))
  })

  it('are traces alone as well', async () => {
    writeFileSync(file('headers'), 'authorization: Bearer x\n')
    const read = await parseRecords({
      traces: `otlp+https://c.example,share=0.5,headers-file=${file('headers')}`,
    })
    assert.deepEqual(read?.(), {
      audit: [],
      traces: {
        url: 'https://c.example/v1/traces',
        headers: { authorization: 'Bearer x' },
        ca: undefined,
        share: 0.5,
      },
    })
  })

  it('are none where nothing is named', async () => {
    assert.equal(await parseRecords({}), undefined)
  })

  const refused: Readonly<Record<string, [() => Parameters<typeof parseRecords>[0], RegExp]>> = {
    'a directory': [() => ({ recordings: '/var/recordings' }), /takes s3:\/\/ or postgresql:\/\/ here/],
    "the credentials of the environment, which is the agent's too": [
      () => ({ recordings: 's3://audit' }),
      /needs access-key-file=FILE and secret-key-file=FILE/,
    ],
    'half a credential': [
      () => ({ recordings: `s3://audit,access-key-file=${file('id')}` }),
      /access-key-file and secret-key-file together/,
    ],
    'an address that is the pod itself': [
      () => ({ recordings: s3(',endpoint=http://127.0.0.1:9000') }),
      /an address that a pod reaches/,
    ],
    'a sink that is the pod itself': [
      () => ({ recordings: s3(), audit: ['otlp+http://localhost:4318'] }),
      /an address that a pod reaches/,
    ],
    'a sink in the clear': [
      () => ({ recordings: s3(), audit: ['otlp+http://c.example:4318'] }),
      /in the clear/,
    ],
    'a file as a sink': [
      () => ({ recordings: s3(), audit: ['/var/log/audit'] }),
      /here, not \/var\/log\/audit/,
    ],
    'a spool of its own': [
      () => ({ recordings: s3(), audit: ['otlp+https://c.example,spool=/x'] }),
      /takes no option spool/,
    ],
    'a collector that is the pod itself': [
      () => ({ recordings: s3(), traces: 'otlp+http://127.0.0.1:4318' }),
      /--traces takes an address that a pod reaches/,
    ],
    'traces in the clear': [
      () => ({ recordings: s3(), traces: 'otlp+http://c.example:4318' }),
      /in the clear/,
    ],
    'five sinks': [
      () => ({ recordings: s3(), audit: Array.from({ length: 5 }, (_, n) => `otlp+https://c${n}.example`) }),
      /4 times/,
    ],
    'a file that is not there': [
      () => ({ recordings: `postgresql://a@db/x,password-file=${file('nowhere')}` }),
      /nowhere/,
    ],
  }
  for (const [name, [values, says]] of Object.entries(refused))
    it(`refuse ${name}`, async () => {
      await assert.rejects(parseRecords({ 'recording-key': [recipient], ...values() }), says)
    })

  it('refuse keys for what masks hid that are none, that read recordings too, or that have nowhere to be used', async () => {
    const named = { recordings: s3(), 'recording-key': [recipient] }
    const other = 'age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm'
    const read = await parseRecords({ ...named, 'unmasked-key': [other] })
    assert.deepEqual(read?.().recordings?.unmaskedRecipients, [other])
    await assert.rejects(
      parseRecords({ ...named, 'unmasked-key': ['age1none'] }),
      /--unmasked-key takes a public key of age \(age1…\), not age1none/,
    )
    await assert.rejects(
      parseRecords({ ...named, 'unmasked-key': [recipient] }),
      /that is no --recording-key/,
    )
    await assert.rejects(
      parseRecords({ 'unmasked-key': [other], traces: 'otlp+https://c' }),
      /goes with --recordings/,
    )
  })

  it('refuse recordings that nobody could read', async () => {
    await assert.rejects(parseRecords({ recordings: s3() }), /go together/)
    await assert.rejects(
      parseRecords({ recordings: s3(), 'recording-key': ['AGE-SECRET-KEY-1X'] }),
      /public key/,
    )
  })
})

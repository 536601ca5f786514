import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nameOfSigner } from '@firebreak/sidecar/recording/header.ts'
import { keyFiles, ownRecipient, ownSigner } from '@firebreak/sidecar/recording/installation-keys.ts'
import { newSecret } from '@firebreak/sidecar/recording/keys.ts'
import { DirectoryStore } from '@firebreak/sidecar/recording/stores/directory.ts'
import {
  appendCommands,
  MemorySink,
  newReaderKey,
  newSigner,
  recordingName,
  startWriter,
} from '@firebreak/sidecar/recording/testdata/recordings.ts'
import { RecordingWriter } from '@firebreak/sidecar/recording/writer.ts'

const main = fileURLToPath(new URL('../main.ts', import.meta.url))

describe('firebreak sessions verify', function () {
  this.timeout(600_000)
  let state: string

  beforeEach(async () => {
    state = mkdtempSync(join(tmpdir(), 'firebreak-verify-'))
    const keys = join(state, 'recording-keys')
    const store = await DirectoryStore.open(join(state, 'recordings'))
    const writer = await startWriter({
      sink: await store.create(recordingName),
      reader: { identity: '', recipient: await ownRecipient(keys) },
      signer: await ownSigner(keys),
    })
    await appendCommands(writer, 3)
    await writer.end()
  })

  afterEach(() => rmSync(state, { recursive: true, force: true }))

  function verify(...words: string[]): { status: number | null; output: string } {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'sessions', 'verify', ...words], {
      encoding: 'utf8',
      env: { ...process.env, FIREBREAK_STATE: undefined, FIREBREAK_RECORDINGS: undefined },
    })
    return { status, output: stdout + stderr }
  }

  const file = (): string => join(state, 'recordings', `${recordingName}.fbrec`)

  it('says of a recording that nobody altered that it is whole', () => {
    const { status, output } = verify(recordingName, '--state', state)
    assert.match(output, /: whole, unaltered \(5 blocks, 3 commands, [\d.]+ s\)\n$/)
    assert.equal(status, 0)
  })

  it('names the block and the bytes that were altered', () => {
    const bytes = readFileSync(file())
    const position = bytes.length - 500
    bytes.writeUInt8(bytes.readUInt8(position) ^ 1, position)
    writeFileSync(file(), bytes)
    const { status, output } = verify('--all', '--json', '--state', state)
    const { state: found, fault } = JSON.parse(output) as {
      state: string
      fault: { block: number; position: number; length: number }
    }
    assert.equal(found, 'broken')
    assert.ok(fault.position <= position && position < fault.position + fault.length)
    assert.equal(status, 1)
  })

  it('says that an end is missing', () => {
    writeFileSync(file(), readFileSync(file()).subarray(0, -40))
    const { status, output } = verify(recordingName, '--state', state)
    assert.match(output, /no end: .* what is there is unaltered \(4 blocks, 3 commands/)
    assert.equal(status, 1)
  })

  it('believes no other key, and says whose it is where it knows none', () => {
    const signer = readFileSync(join(state, 'recording-keys', keyFiles.trusted), 'utf8').trim()
    const unknown = verify(recordingName, '--recordings', join(state, 'recordings'))
    assert.ok(unknown.output.includes(`signed by ${signer}: hold that against the audit trail`))
    assert.equal(unknown.status, 0)
    const other = verify(recordingName, '--state', state, '--signer', 'A'.repeat(43))
    assert.match(other.output, /which is not trusted/)
    assert.equal(other.status, 1)
  })

  it('obeys nothing of a header that whoever wrote the file has put there', async () => {
    const hostile = '\u001b]0;own\u0007\u009b31m\u202e'
    const reader = await newReaderKey()
    const signer = newSigner()
    const { secret, key } = await newSecret([reader.recipient])
    const known = {
      recording: recordingName,
      startedAt: new Date(0).toISOString(),
      protocol: 'postgresql',
      identity: 'a/b',
      chain: ['a/b'],
      resource: 'a/shop',
      role: 'reader',
      keepSeconds: 60,
      signer: nameOfSigner(signer),
      recipients: [reader.recipient],
      key,
    } as const
    const place = join(state, 'recordings')
    const keyFile = join(state, 'reader.txt')
    writeFileSync(keyFile, `${reader.identity}\n`)
    for (const [header, said] of [
      [{ ...known, recording: hostile }, /this is another recording/],
      [{ ...known, signer: known.signer + hostile }, /the header is not what (was signed|it should be)/],
      [{ ...known, recipients: [hostile] }, /the header is not what (was signed|it should be)/],
    ] as const) {
      const sink = new MemorySink()
      const told = { now: () => 0, onFailed: () => {}, onRecovered: () => {} }
      const writer = await RecordingWriter.start({ sink, header, secret, signer, ...told })
      await writer.end()
      writeFileSync(file(), sink.bytes)
      for (const words of [
        ['sessions', 'verify', recordingName, '--signer', 'A'.repeat(43)],
        ['sessions', 'verify', recordingName],
        ['replay', recordingName, '--key', keyFile],
        ['sessions', 'export', recordingName, '--json', '-', '--key', keyFile],
      ]) {
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          [main, ...words, '--recordings', place],
          { encoding: 'utf8' },
        )
        assert.equal(status, 1)
        assert.doesNotMatch(stdout + stderr, /[^\P{C}\n]/u)
        if (!words.includes('--signer')) assert.match(stdout + stderr, said)
      }
    }
  })

  it('goes with commands that hold, release and delete', () => {
    const sessions = (...words: string[]): { status: number | null; output: string } => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'sessions', ...words], {
        encoding: 'utf8',
      })
      return { status, output: stdout + stderr }
    }
    assert.equal(sessions('hold', recordingName, '--state', state).status, 2)
    assert.equal(sessions('hold', recordingName, '--reason', 'case 42', '--state', state).status, 0)
    const held = sessions('delete', recordingName, '--reason', 'old', '--state', state)
    assert.match(held.output, /is held: case 42/)
    assert.equal(held.status, 1)
    assert.equal(sessions('release', recordingName, '--state', state).status, 0)
    assert.equal(sessions('delete', recordingName, '--reason', 'old', '--state', state).status, 0)
  })

  it('says what was not there, or not said', () => {
    assert.match(verify('01ABCDEFGH0123456789ABCDEX', '--state', state).output, /: not there/)
    assert.equal(verify('--state', state).status, 2)
    assert.equal(verify(recordingName).status, 2)
    mkdirSync(join(state, 'empty'))
    assert.match(
      verify(recordingName, '--state', join(state, 'empty')).output,
      /empty\/recordings: there are no recordings/,
    )
  })
})

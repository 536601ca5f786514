/** Recordings for the tests, made by the writer itself. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { ResourceType } from '@firebreak/policy'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import type { EntryType, TimedEntry } from '../entries.ts'
import { nameOfSigner } from '../header.ts'
import { newSecret } from '../keys.ts'
import { RecordingReader } from '../reader.ts'
import type { RecordingSink, RecordingSinks, RecordingSource } from '../store.ts'
import { RecordingWriter } from '../writer.ts'

/** Somebody who can read recordings. */
export interface ReaderKey {
  readonly identity: string
  readonly recipient: string
}

export async function newReaderKey(): Promise<ReaderKey> {
  const identity = await generateX25519Identity()
  return { identity, recipient: await identityToRecipient(identity) }
}

export function newSigner(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey
}

/** Bytes as they are, without a place. */
export function sourceOf(bytes: Buffer): RecordingSource {
  return {
    size: bytes.length,
    read: async (position, length) => bytes.subarray(position, position + length),
    async [Symbol.asyncDispose]() {},
  }
}

/** Keeps what it gets. */
export class MemorySink implements RecordingSink {
  readonly blocks: Buffer[] = []
  /** Lengths of what was safe, each time. */
  syncs = 0
  failing: Error | undefined

  get bytes(): Buffer {
    return Buffer.concat(this.blocks)
  }

  async append(bytes: Buffer): Promise<void> {
    if (this.failing) throw this.failing
    this.blocks.push(Buffer.from(bytes))
  }

  async sync(): Promise<void> {
    if (this.failing) throw this.failing
    this.syncs++
  }

  async close(): Promise<void> {}
}

export const recordingName = '01ABCDEFGH0123456789ABCDEF'

export interface WriterSetting {
  readonly sink: RecordingSink
  readonly reader: ReaderKey
  /** May see what masks hid, if that is kept. */
  readonly unmasked?: ReaderKey
  readonly signer: KeyObject
  readonly recording?: string
  readonly protocol?: ResourceType
  readonly now?: () => number
  readonly onFailed?: (error: Error) => void
  readonly onRecovered?: () => void
}

export async function startWriter(setting: WriterSetting): Promise<RecordingWriter> {
  const { sink, reader, unmasked, signer, recording = recordingName, protocol = 'postgresql' } = setting
  const { now = () => performance.now() } = setting
  const { secret, key } = await newSecret([reader.recipient])
  const hidden = unmasked && (await newSecret([unmasked.recipient]))
  return await RecordingWriter.start({
    sink,
    secret,
    unmaskedSecret: hidden?.secret,
    signer,
    now,
    onFailed: setting.onFailed ?? (() => {}),
    onRecovered: setting.onRecovered ?? (() => {}),
    header: {
      recording,
      startedAt: new Date(0).toISOString(),
      protocol,
      identity: 'agents/worker',
      chain: ['agents/worker'],
      resource: 'agents/orders',
      role: 'reader',
      keepSeconds: 3600,
      signer: nameOfSigner(signer),
      recipients: [reader.recipient],
      key,
      ...(unmasked && hidden && { unmasked: { recipients: [unmasked.recipient], key: hidden.key } }),
    },
  })
}

export async function entriesOf(bytes: Buffer, { identity }: ReaderKey): Promise<TimedEntry[]> {
  const reader = await RecordingReader.open(sourceOf(bytes), [identity])
  return await Array.fromAsync(reader.entries())
}

/** Commands with responses, a block each. */
export async function appendCommands(writer: RecordingWriter, count: number, first = 0): Promise<void> {
  const json = (type: EntryType, value: object): void => writer.append(type, JSON.stringify(value))
  for (let number = first; number < first + count; number++) {
    json('command', { reference: `R${number}`, text: `select ${number}`, actions: [], objects: [] })
    writer.append('response', Buffer.from(`answer ${number}`))
    json('outcome', { reference: `R${number}`, rows: 1, bytes: 8, milliseconds: 1 })
    await writer.flush()
  }
}

/** Records three commands in a place. @returns the recording's name. */
export async function recordIn(sinks: RecordingSinks, reader: ReaderKey, signer: KeyObject): Promise<string> {
  const recording = '01ABCDEFGH0123456789WRITER'
  const writer = await startWriter({ sink: await sinks.create(recording), reader, signer, recording })
  await appendCommands(writer, 3)
  await writer.end()
  return recording
}

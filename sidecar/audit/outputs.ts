/** Opens what an audit trail is written to. */
import { type ChainEnd, chainEnd } from './chain.ts'
import { Delivery, type DeliveryEvents } from './remote/delivery.ts'
import { HttpReceiver } from './remote/http.ts'
import { OtlpReceiver } from './remote/otlp.ts'
import { Outbox } from './remote/outbox.ts'
import { PostgresqlReceiver } from './remote/postgresql.ts'
import type { Receiver } from './remote/receiver.ts'
import { FileSink, lastLines, StandardOutput } from './sink.ts'
import { Spool } from './spool.ts'
import type { AuditTarget, ReceiverTarget, RemoteTarget } from './target.ts'
import { AuditWriter, type AuditWriterEvents, type Dropped } from './writer.ts'

export interface AuditEvents
  extends Pick<AuditWriterEvents, 'failed' | 'recovered'>,
    Pick<DeliveryEvents, 'undelivered' | 'delivered'> {}

export type OutputEvents = AuditEvents & {
  /** A sink never gets these lines. */
  readonly dropped: (sink: string, lines: Dropped) => void
  /** Nor these, of whatever run; `known` are those of them of which it is known which they are. */
  readonly rejected: (sink: string, count: number, known: readonly ChainEnd[]) => void
}

/** Something that every line is written to. */
export interface Output extends Pick<AuditWriter, 'write' | 'ready' | 'blocks' | 'tellDropped' | 'close'> {
  /** As people know it; holds no secret. */
  readonly name: string
  /** The last line that an earlier run left there, where it can be seen. */
  readonly end: ChainEnd | undefined
  /** In bytes: what it has not got yet. */
  readonly waiting: number
}

/** Something elsewhere that every line is written to. */
export interface RemoteOutput extends Output {
  /** Asks it from now on with what this target of the same receiver says. */
  renew(target: RemoteTarget): Promise<void>
}

/** @throws the system's error when it, or the spool that an earlier process left, can't be opened. */
export async function openOutput(target: AuditTarget, events: OutputEvents): Promise<Output> {
  switch (target.kind) {
    case 'standardOutput': {
      const name = 'standard output'
      return outputOf(name, new AuditWriter(new StandardOutput(), undefined, told(name, events)), undefined)
    }
    case 'file': {
      const { path } = target
      const sink = new FileSink(path, target.rotation)
      if (!sink.isRegular)
        return outputOf(path, new AuditWriter(sink, undefined, told(path, events)), undefined)
      const spool = new Spool(`${path}.spool`)
      const end = endOf(spool.empty ? lastLinesOf(path) : lastLines(spool.path))
      if (!spool.empty) await spool.passOver(lastLines(path))
      return outputOf(path, new AuditWriter(sink, spool, told(path, events)), end)
    }
    default:
      return await openRemote(target, events)
  }
}

/** @throws the system's error when the spool can't be opened. */
export async function openRemote(target: RemoteTarget, events: OutputEvents): Promise<RemoteOutput> {
  const outbox = await Outbox.open(target.spool.directory, target.spool.limit)
  const receiver = receiverOf(target)
  const writer = new AuditWriter(outbox, undefined, told(receiver.name, events))
  outbox.onTooLong = (line) => events.rejected(receiver.name, 1, line ? [line] : [])
  const delivery = new Delivery(outbox, receiver, events)
  return {
    ...outputOf(receiver.name, writer, outbox.end),
    get waiting() {
      return writer.waiting + outbox.waiting
    },
    renew: (renewed) => delivery.renew(receiverOf(renewed)),
    async close() {
      const lost = await writer.close()
      await delivery[Symbol.asyncDispose]()
      return lost
    },
  }
}

function receiverOf(target: ReceiverTarget): Receiver {
  switch (target.kind) {
    case 'http':
      return new HttpReceiver(target)
    case 'otlp':
      return new OtlpReceiver(target)
    case 'postgresql':
      return new PostgresqlReceiver(target)
  }
}

function outputOf(name: string, writer: AuditWriter, end: ChainEnd | undefined): Output {
  return {
    name,
    end,
    write: (line, droppableAs) => writer.write(line, droppableAs),
    ready: (whenFailing) => writer.ready(whenFailing),
    blocks: (whenFailing) => writer.blocks(whenFailing),
    tellDropped: () => writer.tellDropped(),
    close: () => writer.close(),
    get waiting() {
      return writer.waiting
    },
  }
}

function told(name: string, events: OutputEvents): AuditWriterEvents {
  return { ...events, dropped: (lines) => events.dropped(name, lines) }
}

/** Of the file, or of the one that it was before it was rotated. */
function lastLinesOf(path: string): Buffer[] {
  const lines = lastLines(path)
  return lines.length > 0 ? lines : lastLines(`${path}.1`)
}

/** @param lines the last one first. */
function endOf(lines: readonly Buffer[]): ChainEnd | undefined {
  for (const line of lines) {
    const end = chainEnd(line)
    if (end) return end
  }
  return undefined
}

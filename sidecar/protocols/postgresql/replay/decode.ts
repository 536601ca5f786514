/** Recorded responses, as people are to see them. */
import type { ResponseReplay, Shown } from '../../replays.ts'
import { FrameReader } from '../codec/frame-reader.ts'
import {
  decodeCommandTag,
  decodeDataRow,
  decodeErrorFields,
  decodeRowDescription,
} from '../codec/server-messages.ts'
import { fromServer, serverRules } from '../codec/types.ts'

/** Takes a session's responses in order. */
export class ResponseDecoder implements ResponseReplay {
  #reader = new FrameReader(serverRules)

  /** The rest of the current command's response is not in the recording. */
  cut(): void {
    this.#reader = new FrameReader(serverRules)
  }

  *push(bytes: Buffer): Generator<Shown> {
    const reader = this.#reader
    reader.push(bytes)
    for (;;) {
      const result = reader.next()
      if (result === 'error') yield { kind: 'unreadable', problem: reader.problem }
      if (result !== 'frame') return
      const shown = show(reader)
      if (shown) yield shown
    }
  }
}

function show({ type, buffer, start, end }: FrameReader): Shown | undefined {
  switch (type) {
    case fromServer.rowDescription: {
      const columns = decodeRowDescription(buffer, start, end)
      return columns && { kind: 'columns', columns }
    }
    case fromServer.dataRow: {
      const values = decodeDataRow(buffer, start, end)
      return values && { kind: 'row', values: values.map(valueAsText) }
    }
    case fromServer.copyData:
      return { kind: 'copied', bytes: buffer.subarray(start + 5, end) }
    case fromServer.commandComplete: {
      const tag = decodeCommandTag(buffer, start, end)
      return tag === undefined ? undefined : { kind: 'complete', tag }
    }
    case fromServer.error:
      return message('error', buffer, start, end)
    case fromServer.notice:
      return message('notice', buffer, start, end)
    default:
      return undefined
  }
}

function message(kind: 'error' | 'notice', buffer: Buffer, start: number, end: number): Shown | undefined {
  const fields = decodeErrorFields(buffer, start, end)
  if (!fields) return undefined
  const [detail, hint] = [fields.get('D'), fields.get('H')]
  return {
    kind,
    severity: fields.get('S') ?? '',
    code: fields.get('C') ?? '',
    message: fields.get('M') ?? '',
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The format of a value isn't always known here: a client may have learned the columns before it chose one. */
function valueAsText(value: Buffer | null): string | null {
  if (!value) return null
  try {
    if (!value.includes(0)) return utf8.decode(value)
  } catch {
    // bytes
  }
  return `\\x${value.toString('hex')}`
}

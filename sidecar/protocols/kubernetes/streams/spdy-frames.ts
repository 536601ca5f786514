/** What a server of SPDY/3.1 sends: frames → bytes. */
import { deflateSync } from 'node:zlib'
import { headerDictionary } from './spdy-dictionary.ts'

const control = 0x8003
const types = { answers: 2, pings: 6, leaves: 7 } as const
const lastOfStream = 1

export function dataFrame(stream: number, data: Buffer): Buffer {
  return Buffer.concat([headOf(stream, 0, data.length), data])
}

/** There is no more of a stream. */
export function endFrame(stream: number): Buffer {
  return headOf(stream, lastOfStream, 0)
}

export function pingFrame(id: number): Buffer {
  return controlFrame(types.pings, id)
}

export function leaveFrame(lastStream: number): Buffer {
  return controlFrame(types.leaves, lastStream, Buffer.alloc(4))
}

/** That the headers are compressed, upon the dictionary: they begin so once. */
const compression = deflateSync(Buffer.alloc(0), { dictionary: headerDictionary }).subarray(0, 6)
/**
 * No headers: their number in a block of its own, as it is, and an empty one, at which readers give out what they have.
 * https://www.rfc-editor.org/rfc/rfc1951#section-3.2.4
 */
const none = Buffer.from([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

/** That a stream is there. @param isFirst on its connection, whose headers are all compressed as one text. */
export function answerFrame(stream: number, isFirst: boolean): Buffer {
  return controlFrame(types.answers, stream, isFirst ? Buffer.concat([compression, none]) : none)
}

function controlFrame(type: number, first: number, rest = Buffer.alloc(0)): Buffer {
  const body = Buffer.alloc(4)
  body.writeUInt32BE(first)
  return Buffer.concat([headOf(((control << 16) | type) >>> 0, 0, body.length + rest.length), body, rest])
}

function headOf(first: number, flags: number, length: number): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(first)
  head.writeUInt8(flags, 4)
  head.writeUIntBE(length, 5, 3)
  return head
}

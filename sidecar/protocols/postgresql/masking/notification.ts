/** NotificationResponse without what it says. https://www.postgresql.org/docs/current/protocol-message-formats.html */
import { Cursor } from '../codec/cursor.ts'
import { fromServer } from '../codec/types.ts'

const headerLength = 5
const redacted = '********'

/** @returns undefined when it is not a valid message. */
export function redactPayload(buffer: Buffer, start: number, end: number): Buffer | undefined {
  const cursor = new Cursor(buffer, start + headerLength, end)
  const sender = cursor.int32()
  const channel = cursor.string()
  const payload = cursor.string()
  if (!cursor.finished) return undefined
  const text = Buffer.from(`${channel}\0${payload === '' ? '' : redacted}\0`)
  const message = Buffer.alloc(headerLength + 4)
  message.writeUInt8(fromServer.notification, 0)
  message.writeInt32BE(4 + 4 + text.length, 1)
  message.writeInt32BE(sender, headerLength)
  return Buffer.concat([message, text])
}

/** DNS over TCP: each message after its length in two bytes. RFC 1035 section 4.2.2 */

export function withLength(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

export class MessageReader {
  #bytes: Buffer = Buffer.alloc(0)

  /** @returns the messages that are whole now. */
  push(chunk: Buffer): Buffer[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    const messages: Buffer[] = []
    while (this.#bytes.length >= 2) {
      const end = 2 + this.#bytes.readUInt16BE(0)
      if (this.#bytes.length < end) break
      messages.push(this.#bytes.subarray(2, end))
      this.#bytes = this.#bytes.subarray(end)
    }
    return messages
  }
}

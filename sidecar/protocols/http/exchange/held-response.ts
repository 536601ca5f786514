/** The answer to a client that was kept waiting by a stream of events: whatever the target answers comes in that stream. */

import type { OutgoingHttpHeaders } from 'node:http'
import { Writable } from 'node:stream'
import { type ClientResponse, forNode } from './client.ts'
import type { Conversation, Waiting } from './conversation.ts'

/** Clients and what is in front of them give up after a minute. In milliseconds. */
const saidEvery = 15_000

export class HeldResponse extends Writable implements ClientResponse {
  sendDate = false
  headersSent = false
  readonly #client: ClientResponse
  readonly #waiting: Waiting
  readonly #conversation: Conversation
  readonly #timer: NodeJS.Timeout
  readonly #reference: string
  #message: string
  #count = 0
  #status = 0
  #type = ''
  /** As it is looked at whole, it has a length that is known to be small enough. */
  #document: Buffer[] = []

  /**
   * @param message what the client waits for, in words.
   * @param reference of its audit line.
   */
  constructor(
    client: ClientResponse,
    conversation: Conversation,
    waiting: Waiting,
    { message, reference }: { readonly message: string; readonly reference: string },
  ) {
    super()
    this.#client = client
    this.#conversation = conversation
    this.#waiting = waiting
    this.#message = message
    this.#reference = reference
    client.once('close', () => this.destroy())
    client.writeHead(200, forNode(waiting.headers))
    this.#timer = setInterval(() => this.#still(), saidEvery)
    this.#still()
  }

  /** @param message in place of what was said so far. */
  say(message: string): void {
    this.#message = message
    this.#still()
  }

  writeHead(status: number, headers: OutgoingHttpHeaders): void {
    clearInterval(this.#timer)
    this.headersSent = true
    this.#status = status
    this.#type =
      String(headers['content-type'] ?? '')
        .split(';', 1)[0]
        ?.trim()
        .toLowerCase() ?? ''
  }

  writeContinue(): void {}
  addTrailers(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (this.#isDocument) this.#document.push(Buffer.from(chunk))
    if (!this.#isEvents || this.#client.write(chunk)) done()
    else this.#client.once('drain', () => done())
  }

  override _final(done: (error?: Error) => void): void {
    const answer = this.#isEvents ? '' : this.#waiting.answer(this.#answer())
    this.#client.end(answer, () => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#timer)
    if (!this.writableFinished) this.#client.destroy(error ?? undefined)
    done()
  }

  get #isEvents(): boolean {
    return this.#isFine && this.#type === 'text/event-stream'
  }

  get #isDocument(): boolean {
    return this.#isFine && this.#type === 'application/json'
  }

  get #isFine(): boolean {
    return this.#status >= 200 && this.#status < 300
  }

  /** What the target has no answer to, has an answer all the same. */
  #answer(): Buffer {
    if (this.#isDocument) return Buffer.concat(this.#document)
    const detail = `the target answered ${this.#status}`
    const problem = { kind: 'unavailable', status: 502, detail, reference: this.#reference } as const
    return this.#conversation.refusal(problem)?.body ?? Buffer.alloc(0)
  }

  #still(): void {
    this.#client.write(this.#waiting.still(this.#message, this.#count++))
  }
}

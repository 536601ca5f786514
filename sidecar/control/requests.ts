import { Wake } from '@firebreak/xds'

/** Requests of one stream, read by the transport in the order in which they were made. */
export class Requests<Request> implements AsyncIterable<Request> {
  readonly #waiting: Request[] = []
  readonly #wake = new Wake()
  #ended = false

  send(request: Request): void {
    this.#waiting.push(request)
    this.#wake.call()
  }

  end(): void {
    this.#ended = true
    this.#wake.call()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request> {
    for (;;) {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) yield next
      if (this.#ended) return
      await this.#wake.wait()
    }
  }
}

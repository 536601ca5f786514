/** A receiver says that what it was sent is larger than it takes: it has none of it. */
export class TooLargeError extends Error {
  override readonly name = 'TooLargeError'

  constructor() {
    super('the receiver answered 413: that is larger than it takes')
  }
}

/** Somewhere else that takes audit lines. */
export interface Receiver extends AsyncDisposable {
  /** As people know it; holds no secret. */
  readonly name: string
  /**
   * Resolves once it has the lines, all of them; lines that it has already change nothing.
   *
   * @param lines whole ones, without their ends.
   * @returns how many of them it says it will never take.
   * @throws TooLargeError, or another Error; its message holds no secret.
   */
  send(lines: readonly string[], signal: AbortSignal): Promise<number>
}

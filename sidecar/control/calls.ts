/** What a sidecar asks of the operator beside its configuration: by the same connection, as often as it takes. */
import { setTimeout as delay } from 'node:timers/promises'
import type { DescService } from '@bufbuild/protobuf'
import { type CallOptions, type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import type { Connection } from './stream.ts'

/** Of one call; then it is made again. In milliseconds. */
const answerWithin = 5_000
/** In milliseconds. */
export const retryEvery = 200

/** The operator has understood, and will not. Everything else may be otherwise in a moment. */
const refusals: readonly Code[] = [
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.ResourceExhausted,
  Code.FailedPrecondition,
  Code.Unimplemented,
]

export class OperatorCalls {
  #connection = Promise.withResolvers<Connection>()

  /** A way to the operator is there; of several the newest is used. */
  connected(connection: Connection): void {
    // whoever waits for one, and whoever comes
    this.#connection.resolve(connection)
    const newest = Promise.withResolvers<Connection>()
    newest.resolve(connection)
    this.#connection = newest
    const lost = (): void => {
      if (this.#connection === newest) this.#connection = Promise.withResolvers()
    }
    connection.signal.addEventListener('abort', lost, { once: true })
  }

  /** @returns once there is a way. @throws the signal's reason when it gives up. */
  async way<Service extends DescService>(
    service: Service,
    signal: AbortSignal,
  ): Promise<{ readonly client: Client<Service>; readonly options: CallOptions }> {
    const gaveUp = Promise.withResolvers<never>()
    const giveUp = (): void => gaveUp.reject(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      signal.throwIfAborted()
      const {
        transport,
        headers,
        signal: lost,
      } = await Promise.race([this.#connection.promise, gaveUp.promise])
      return {
        client: createClient(service, transport),
        options: { headers, signal: AbortSignal.any([signal, lost]) },
      }
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  /** Asks until there is an answer. @throws Error with the operator's own words when it refuses, or when the signal gives up. */
  async call<Service extends DescService, Answer>(
    service: Service,
    ask: (client: Client<Service>, options: CallOptions) => Promise<Answer>,
    signal: AbortSignal,
  ): Promise<Answer> {
    let reason = 'there is no connection'
    for (;;) {
      try {
        const { client, options } = await this.way(service, signal)
        return await ask(client, { ...options, timeoutMs: answerWithin })
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error)
        if (!signal.aborted && refusals.includes(code)) throw new Error(rawMessage)
        if (!signal.aborted) reason = rawMessage
      }
      await delay(retryEvery, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) throw new Error(`the operator can't be reached: ${reason}`)
    }
  }
}

/** What of a request people are asked about, and an approval is bound to; and its client, which waits. */
import type { Command } from '@firebreak/policy'
import type { HeldCommand, HeldParameter, HoldOutcome } from '../../../session.ts'
import { textOf } from '../analysis/meaning.ts'
import { forwardedHeaders } from '../head/forwarded.ts'
import { headerOf } from '../head/head.ts'
import type { HttpRequest } from '../request.ts'
import { type ClientResponse, isGone } from './client.ts'
import type { Conversation } from './conversation.ts'
import { awaitPeople, namesOf } from './held-calls.ts'
import { HeldResponse } from './held-response.ts'
import type { CommandRun } from './run.ts'

/** Nobody could see a longer body whole, so nobody is asked about it. */
export const maximumHeldBody = 16 * 1024

/** Differ each time although the same is asked for, and change nothing. */
const passing =
  /^(user-agent|accept-language|accept-encoding|traceparent|tracestate|baggage|date|x-request-id|x-correlation-id|x-b3-.*|x-stainless-.*|sec-websocket-key|sec-fetch-.*|priority|kubectl-session|grpc-timeout|grpc-trace-bin|grpc-previous-rpc-attempts)$/

type Held = Pick<HeldCommand, 'commands' | 'statement' | 'text' | 'parameters' | 'context'>

function heldRequest(request: HttpRequest, command: Command): Held {
  const headers = forwardedHeaders(request)
    .filter(([name]) => !passing.test(name))
    .map(([name, value]) => `${name}: ${value}`)
  const { body = Buffer.alloc(0) } = request
  const text = [textOf(request), ...headers].join('\n')
  return {
    commands: [command],
    statement: Buffer.from(text),
    text,
    parameters: body.length === 0 ? [] : [bodyParameter(request, body)],
    context: [],
  }
}

function bodyParameter({ headers }: HttpRequest, body: Buffer): HeldParameter {
  const encoding = `body, ${headerOf(headers, 'content-type') ?? 'of no type'}`
  return { encoding, value: body, shown: shownBody(body) }
}

function shownBody(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch {
    return `\\x${body.toString('hex')}`
  }
}

interface Asked {
  readonly outcome: HoldOutcome
  /** Where the answer goes. */
  readonly response: ClientResponse
}

/** Never rejects. A client that gives up, by whatever means it has, withdraws what it asked for. */
export async function askPeople(
  run: CommandRun,
  request: HttpRequest,
  response: ClientResponse,
  conversation: Conversation | undefined,
): Promise<Asked> {
  const { session } = run
  const asking = new AbortController()
  const gone = (): void => asking.abort()
  let held: HeldResponse | undefined
  const wait = (message: string): void => {
    if (held) held.say(message)
    else if (conversation?.waiting)
      held = new HeldResponse(response, conversation, conversation.waiting, {
        message,
        reference: run.reference,
      })
  }
  response.once('close', gone)
  if (isGone(response)) gone()
  session.signal.addEventListener('abort', gone)
  using _waiting = awaitPeople(namesOf(conversation?.asks ?? [], session), asking)
  try {
    const outcome = await session.hold({
      ...heldRequest(conversation?.repeatable ?? request, run.command),
      reference: run.reference,
      signal: asking.signal,
      onAsked: (name, message) => {
        run.approval = name
        wait(message)
      },
    })
    return { outcome, response: held ?? response }
  } catch {
    // a bug of ours: the client must not wait for ever, and nothing may run
    const outcome = { kind: 'refused', message: 'people could not be asked' } as const
    return { outcome, response: held ?? response }
  } finally {
    response.off('close', gone)
    session.signal.removeEventListener('abort', gone)
  }
}

/** What of a request people are asked about, and an approval is bound to. */
import type { Command } from '@firebreak/policy'
import type { HeldCommand, HeldParameter } from '../../../session.ts'
import { textOf } from '../analysis/meaning.ts'
import { forwardedHeaders } from '../head/forwarded.ts'
import { headerOf } from '../head/head.ts'
import type { HttpRequest } from '../request.ts'

/** Nobody could see a longer body whole, so nobody is asked about it. */
export const maximumHeldBody = 16 * 1024

/** Differ each time although the same is asked for, and change nothing. */
const passing =
  /^(user-agent|accept-language|accept-encoding|traceparent|tracestate|baggage|date|x-request-id|x-correlation-id|x-b3-.*|x-stainless-.*|sec-fetch-.*|priority)$/

type Asked = Pick<HeldCommand, 'commands' | 'statement' | 'text' | 'parameters' | 'context'>

export function heldRequest(request: HttpRequest, command: Command): Asked {
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

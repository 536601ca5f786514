/** Answers of MCP: what may not be asked for is left out of lists, and results are masked like any JSON. */
import type { Command } from '@firebreak/policy'
import type { Result } from '../../../../session.ts'
import { contentTypeOf, isJsonType } from '../../bodies/content-type.ts'
import { mayBeJson } from '../../bodies/json/values.ts'
import { openBodyMask } from '../../bodies/open.ts'
import type { Preparation } from '../../bodies/text-mask.ts'
import type {
  BodyMask,
  BodyTerms,
  ContentCoding,
  HttpRequest,
  RequestHead,
  ResponseHead,
} from '../../request.ts'
import { filterLists, type ListName, lists, type MayAsk } from './lists.ts'
import { sealed } from './session-id.ts'

/**
 * A message of a server may answer an earlier request than the one that it comes with, so all of them are looked at.
 *
 * @param commandOf what a request does.
 */
export function openMcpMask(
  request: HttpRequest,
  answer: ResponseHead,
  terms: BodyTerms,
  commandOf: (request: HttpRequest) => Command,
): Result<BodyMask, string> {
  const response = { ...answer, headers: sealed(answer.headers, terms.whose) }
  const type = contentTypeOf(response.headers)
  const isMessages =
    type.ok && (isJsonType(type.value.mediaType) || type.value.mediaType === 'text/event-stream')
  if (isMessages) {
    // events come for as long as the policy may change
    const json: Preparation = (text) => filterLists(text, mayAskOf(request, terms, commandOf))
    const events: Preparation = (text) => (mayBeMessage(text) ? json(text) : { ok: true, value: text })
    return openBodyMask(request, response, terms, { json, events })
  }
  const isLookedInto = terms.masksFields || terms.detectors.length > 0
  if (response.status < 400) return { ok: true, value: new WithoutMessages(response) }
  return isLookedInto ? openBodyMask(request, response, terms) : { ok: true, value: new Untouched(response) }
}

/** Beside messages, a stream of an older version says where to send them, and events may be empty. */
function mayBeMessage(text: Buffer): boolean {
  return mayBeJson(text.toString())
}

/** Decided for each name once in a message, as a client would ask for it. */
function mayAskOf(
  head: RequestHead,
  { allows }: BodyTerms,
  commandOf: (request: HttpRequest) => Command,
): MayAsk {
  const known = new Map<string, boolean>()
  return (list, name) => {
    const key = `${list}\n${name}`
    let may = known.get(key)
    if (may === undefined) {
      may = allows(openEnded(commandOf(askingFor(head, list, name))))
      known.set(key, may)
    }
    return may
  }
}

function askingFor({ path, query, parameters }: RequestHead, list: ListName, name: string): HttpRequest {
  const { method, parameter } = lists[list]
  // a template stands for what it becomes with a word in each of its places
  const asked = list === 'resourcetemplates' ? name.replaceAll(/\{[^{}]*\}/g, 'x') : name
  const message = { jsonrpc: '2.0', id: 0, method, params: { [parameter]: asked } }
  return {
    method: 'POST',
    path,
    query,
    parameters,
    headers: [['content-type', 'application/json']],
    body: Buffer.from(JSON.stringify(message)),
  }
}

/** Whatever it is given with: what conditions ask of that may be so. */
function openEnded(command: Command): Command {
  const { body, mcp, ...facts } = command.facts
  const { arguments: given, ...others } = mcp ?? {}
  return { ...command, facts: { ...facts, mcp: others }, incomplete: true }
}

/** A body of another type has no messages that a client takes; where it says nothing of an error, there is none. */
class WithoutMessages implements BodyMask {
  readonly head: ResponseHead
  readonly codings: readonly ContentCoding[] = []
  readonly masked: readonly string[] = []

  constructor(head: ResponseHead) {
    this.head = head
  }

  push(chunk: Buffer): Result<readonly Buffer[], string> {
    return chunk.length === 0
      ? { ok: true, value: [] }
      : { ok: false, error: 'what a server of MCP answers is neither JSON nor events' }
  }

  end(): Result<readonly Buffer[], string> {
    return { ok: true, value: [] }
  }
}

class Untouched extends WithoutMessages {
  override push(chunk: Buffer): Result<readonly Buffer[], string> {
    return { ok: true, value: [Buffer.from(chunk)] }
  }
}

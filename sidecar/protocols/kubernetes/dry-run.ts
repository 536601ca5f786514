/** What the API server is asked before a change of pods is decided: the same change, as one that is only tried. */
import type { Command } from '@firebreak/policy'
import type { Answer, Question, Understood } from '../http/exchange/question.ts'
import type { HttpRequest } from '../http/request.ts'
import { withResult, worstOf } from './analysis/result.ts'
import type { ObjectPath } from './analysis/touches.ts'
import { type Document, textAt } from './documents/document.ts'
import { parseJson, plainValue } from './documents/json.ts'
import { analysisOf } from './meaning.ts'
import { boundTo } from './precondition.ts'

/** As much as the API server takes of one. etcd keeps half of that, which is longer in JSON. */
const maximumAnswer = 3 * 1024 * 1024

/** That no object will ever have: a server-side apply that names it makes an object, and changes none that is there. */
const versionOfNone = '9223372036854775807'

/** @returns undefined for what is no change of pods, or known without its object. */
export function dryRunOf(request: HttpRequest): Question | undefined {
  const known = analysisOf(request)
  if (!known.ok || !known.value.changesPods) return undefined
  const { command, objects } = known.value
  if (!objects) return undefined
  const { path } = objects
  return {
    worst: worstOf(command, path),
    request: tried(request),
    maximumAnswer,
    understand: (answer) => understand(answer, { request, command, path }),
  }
}

/** Everything else of it stays: who manages its fields, how they are checked. */
function tried(request: HttpRequest): HttpRequest {
  const { query, parameters, headers } = request
  return {
    ...request,
    query: query === '' ? 'dryRun=All' : `${query}&dryRun=All`,
    parameters: [...parameters, { name: 'dryRun', value: 'All' }],
    headers: [...headers.filter(([name]) => name !== 'accept'), ['accept', 'application/json']],
  }
}

interface Tried {
  readonly request: HttpRequest
  readonly command: Command
  readonly path: ObjectPath
}

function understand({ status, headers, body }: Answer, { request, command, path }: Tried): Understood {
  const type = headers.find(([name]) => name === 'content-type')?.[1].split(';', 1)[0]
  const parsed = type?.trim().toLowerCase() === 'application/json' ? parseJson(body) : undefined
  const object = parsed?.ok ? plainValue(parsed.value) : undefined
  if (status >= 400 && status < 500)
    return isUntried(object)
      ? unknown('something that the API server asks about it can not be asked about a dry run')
      : { kind: 'refused' }
  if (status !== 200 && status !== 201) return unknown(`the API server answered ${status} to a dry run`)
  if (!(object instanceof Map)) return unknown('the API server answered a dry run with no JSON')
  if (textAt(object, 'metadata', 'name') !== path[2])
    return unknown('the API server answered a dry run with something else than the object')
  const version = status === 201 ? versionOfNone : textAt(object, 'metadata', 'resourceVersion')
  if (!version) return unknown('the API server does not say which version of it a dry run was tried on')
  const bound = boundTo(version, request)
  return bound.ok
    ? { kind: 'command', command: withResult(command, path, object), sends: bound.value }
    : { kind: 'unknown', why: bound.error }
}

function unknown(why: string): Understood {
  return { kind: 'unknown', why: `what the request makes of the object is not known: ${why}` }
}

/** It says nothing of the change itself. https://github.com/kubernetes/apiserver/blob/v0.34.4/pkg/admission/plugin/webhook/errors/statuserror.go */
function isUntried(status: Document | undefined): boolean {
  return textAt(status, 'message')?.endsWith('does not support dry run') === true
}

/**
 * What a request is about, as the API server itself derives it from method, path and query (`RequestInfoFactory` of
 * k8s.io/apiserver). A path is taken only where the API server can't read it in another way.
 */
import type { Result } from '../../../session.ts'
import type { RequestHead } from '../../http/request.ts'
import { isSet, type Parameters, readParameters } from './parameters.ts'
import { malformed, type Refused } from './refusal.ts'

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection'

export interface ResourceRequest {
  readonly kind: 'resource'
  readonly verb: Verb
  readonly group: string
  readonly version: string
  readonly resource: string
  /** Empty where there is none. */
  readonly subresource: string
  /** What follows the subresource `proxy`. */
  readonly rest: readonly string[]
  /** Empty for what has none, and for all namespaces. */
  readonly namespace: string
  /** Empty for several objects, and for one that is to be made. Also from a field selector that selects one. */
  readonly name: string
  readonly parameters: Parameters
}

export interface OtherRequest {
  readonly kind: 'other'
  readonly segments: readonly string[]
  readonly method: string
}

const verbs: Readonly<Record<string, Verb>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

/** A namespace's own subresources; anything else below one is a kind of object in it. */
const namespaceSubresources = new Set(['status', 'finalize'])

/** Group, version, kind: of the characters that the API server lets them have. */
const word = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/

export function readRequestInfo(head: RequestHead): Result<ResourceRequest | OtherRequest, Refused> {
  const { segments } = head.path
  const [prefix = ''] = segments
  const verb = verbs[head.method]
  if (verb === undefined) return malformed(`the API has no method ${head.method}`)
  const isGroupless = prefix === 'api'
  const consumed = isGroupless ? 2 : 3
  if ((!isGroupless && prefix !== 'apis') || segments.length <= consumed) return otherRequest(head)
  const [group, version] = isGroupless ? ['', segments[1]] : [segments[1], segments[2]]
  const parameters = readParameters(head)
  if (!parameters.ok) return parameters
  const parts = segments.slice(consumed)
  const isWatchPath = parts[0] === 'watch'
  if (parts[0] === 'proxy') return malformed('this form of proxy path is none of the API any more')
  if (isWatchPath) parts.shift()
  if (isWatchPath && head.method !== 'GET') return malformed('a watch is a GET')
  let namespace = ''
  if (parts[0] === 'namespaces' && parts[1] !== undefined) {
    namespace = parts[1]
    if (parts[2] !== undefined && !namespaceSubresources.has(parts[2])) parts.splice(0, 2)
  }
  const [resource = '', name = '', subresource = '', ...rest] = parts
  if (!word.test(version ?? '') || !word.test(resource) || (!isGroupless && !word.test(group ?? '')))
    return malformed('the path is none of the API')
  const isProxy = subresource === 'proxy'
  const problem = partsProblem([namespace, name, subresource].slice(0, parts.length), parts, isProxy)
  if (problem !== undefined) return malformed(problem)
  if (rest.length > 0 && !isProxy) return malformed('the path goes on behind the subresource')
  const about = {
    kind: 'resource',
    group: group ?? '',
    version: version ?? '',
    resource,
    subresource,
    rest,
    namespace: resource === 'namespaces' ? '' : namespace,
    name,
    parameters: parameters.value,
  } as const
  if (isWatchPath) return { ok: true, value: { ...about, verb: 'watch' } }
  if (name !== '') return { ok: true, value: { ...about, verb } }
  if (verb === 'delete') return { ok: true, value: { ...about, verb: 'deletecollection' } }
  if (verb === 'update' || verb === 'patch') return malformed(`a ${verb} is of one object`)
  if (verb !== 'get') return { ok: true, value: { ...about, verb } }
  const several = isSet(parameters.value, 'watch') ? 'watch' : 'list'
  return { ok: true, value: { ...about, verb: several, name: selectedName(parameters.value) } }
}

function partsProblem(
  names: readonly string[],
  parts: readonly string[],
  isProxy: boolean,
): string | undefined {
  const own = isProxy ? parts.slice(0, 3) : parts
  if (own.some((part) => part === '')) return 'the path has an empty segment'
  // the API server decodes the path before it splits it, so an encoded slash is one
  if ([...names, ...own].some((part) => /[/%\\]/.test(part)))
    return 'the path has an encoded slash or percent sign'
  return undefined
}

/** A selector that selects by the whole name is about one object. */
function selectedName(parameters: Parameters): string {
  const [match] = (parameters.get('fieldSelector') ?? []).flatMap((selector) => {
    const [, name] = /^metadata\.name==?([A-Za-z0-9.:_-]+)$/.exec(selector) ?? []
    return name === undefined || name === '.' || name === '..' ? [] : [name]
  })
  return match ?? ''
}

function otherRequest({ path, method }: RequestHead): Result<OtherRequest, Refused> {
  const { segments } = path
  if (segments.some((segment) => /[/%\\]/.test(segment)))
    return malformed('the path has an encoded slash or percent sign')
  if (segments.length > 1 && segments.some((segment) => segment === ''))
    return malformed('the path has an empty segment')
  // the API server has no such paths; what is in front of it may read them as those of objects
  if (
    path.otherReadings.some(([first]) => first === 'api' || first === 'apis') &&
    !/^apis?$/.test(segments[0] ?? '')
  )
    return malformed('the path can be read as another one')
  return { ok: true, value: { kind: 'other', segments, method } }
}

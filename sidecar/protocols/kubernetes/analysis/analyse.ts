/** A request to a Kubernetes API → what it does. Pure; what the API server could read in another way is refused. */
import type { Command, Fact, IndirectUse, Touch } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { textOf } from '../../http/analysis/meaning.ts'
import type { HttpRequest, RequestHead } from '../../http/request.ts'
import { at, type Document, elementsOf, textAt } from '../documents/document.ts'
import type { KubernetesAction } from './actions.ts'
import { type Body, maximumBody, readBody } from './body.ts'
import {
  consequencesOfContent,
  consequencesOfDeletion,
  consequencesOfKind,
  replicasIn,
  touchesOfPods,
  unknownOf,
} from './consequences.ts'
import type { KubernetesFacts } from './facts.ts'
import { headersProblem } from './headers.ts'
import { indirectUsesOf } from './indirect-uses.ts'
import { isSet, readDryRun } from './parameters.ts'
import { type Change, changeOf } from './patch.ts'
import { podNeedsOf } from './pods.ts'
import { isPort } from './ports.ts'
import { malformed, type Refused } from './refusal.ts'
import { copyOf, type RemoteCommand, remoteCommandOf, shellFactsOf, streamsOf } from './remote-command.ts'
import { type OtherRequest, type ResourceRequest, readRequestInfo, type Verb } from './request-info.ts'
import { type Kind, kindOf } from './resources.ts'
import { changesPods } from './result.ts'
import { subresourceTouches } from './subresources.ts'
import { noNamespace, type ObjectPath, pathOf, touch } from './touches.ts'

export interface Analysed {
  readonly command: Command
  /** Where the objects of the response are, to be masked; absent where there is nothing of anybody's in it. */
  readonly objects?: ResponseObjects
  /** It changes what pods are: what comes of it depends on the object as well. */
  readonly changesPods: boolean
  /** Of an exec or attach. */
  readonly remote?: RemoteCommand
  /** Set for what clients leave HTTP for. */
  readonly streams?: 'exec' | 'attach' | 'portforward'
}

export interface ResponseObjects {
  readonly path: ObjectPath
  readonly isBuiltin: boolean
  readonly watches: boolean
  /** The answer may be a list of objects. */
  readonly ofSeveral: boolean
  /** A stream of another kind than objects, such as logs. */
  readonly isText: boolean
}

const verbActions: Readonly<Record<Verb, KubernetesAction>> = {
  get: 'k8s:get',
  list: 'k8s:list',
  watch: 'k8s:watch',
  create: 'k8s:create',
  update: 'k8s:update',
  patch: 'k8s:patch',
  delete: 'k8s:delete',
  deletecollection: 'k8s:deletecollection',
}

const reads: ReadonlySet<Verb> = new Set(['get', 'list', 'watch'])

/** How much of a body has to be seen to know what a request does; what a proxy sends on is none of the API's. */
export function bodyNeeded(head: RequestHead): number {
  const info = readRequestInfo(head)
  return info.ok && info.value.kind === 'resource' && info.value.subresource === 'proxy' ? 0 : maximumBody
}

export function analyse(request: HttpRequest): Result<Analysed, Refused> {
  const info = readRequestInfo(request)
  if (!info.ok) return info
  const problem = headersProblem(request, info.value.kind === 'resource' ? info.value.subresource : '')
  if (problem) return problem
  if (info.value.kind === 'other') return { ok: true, value: ofOther(request, info.value) }
  const body = info.value.subresource === 'proxy' ? noBody : readBody(request)
  if (!body.ok) return body
  return analyseResource(request, info.value, body.value)
}

function analyseResource(request: HttpRequest, info: ResourceRequest, body: Body): Result<Analysed, Refused> {
  if (reads.has(info.verb) && body.kind !== 'none')
    return malformed('what is only read is asked for without a body')
  if (!(info.parameters.get('ports') ?? []).every(isPort)) return malformed('ports are numbers')
  const change = reads.has(info.verb) ? noChange : changeOf(body)
  if (!change.ok) return change
  const deletes = info.verb === 'delete' || info.verb === 'deletecollection'
  const dryRun = deletes ? dryRunOfDeletion(info, body) : readDryRun(info.parameters.get('dryRun'))
  if (!dryRun.ok) return dryRun
  const kind = kindOf(info.group, info.resource)
  const { set } = change.value
  const path = pathOf(info, kind, info.name === '' ? nameIn(set) : info.name)
  const touches = isOwnReview(info)
    ? [touch('k8s:discover', path, 'baseline')]
    : touchesOf(info, kind, path, body, change.value, dryRun.value)
  const command: Command = {
    resourceType: 'kubernetes',
    text: textOf(request),
    touches,
    opaque: [...change.value.opaque, ...(dryRun.value ? [] : unknownOf(info, set))],
    fields: [],
    indirectUses: indirectUses(info, path, body, change.value),
    facts: { k8s: factsOf(info, body, change.value, dryRun.value), ...programFacts(info) },
  }
  const objects: ResponseObjects = {
    path,
    isBuiltin: kind.isBuiltin,
    watches: info.verb === 'watch',
    ofSeveral: info.verb === 'list' || info.verb === 'deletecollection',
    isText: answersInText.has(info.subresource),
  }
  const remote = remoteCommandOf(info)
  const streams = streamsOf(info)
  return {
    ok: true,
    value: {
      command,
      objects,
      changesPods: !dryRun.value && changesPods(info, kind, change.value, applies(body)),
      ...(remote && { remote }),
      ...(streams && { streams }),
    },
  }
}

const noBody: Result<Body, Refused> = { ok: true, value: { kind: 'none' } }
const noChange: Result<Change, Refused> = { ok: true, value: { set: [], compared: [], opaque: [] } }

/** What comes back of these are no objects. */
const answersInText = new Set(['log', 'exec', 'attach', 'portforward', 'proxy'])

function touchesOf(
  info: ResourceRequest,
  kind: Kind,
  path: ObjectPath,
  body: Body,
  { set }: Change,
  dryRun: boolean,
): readonly Touch[] {
  const action = verbActions[info.verb]
  // an eviction is tried only where its body says so as well
  if (dryRun && (info.subresource === '' || info.subresource === 'scale' || info.subresource === 'status'))
    return [touch('k8s:dryRun', path), touch('k8s:get', path, 'implied')]
  const touches: Touch[] = []
  if (info.subresource !== '') touches.push(...subresourceTouches(info, kind.label, path, action))
  else touches.push(touch(action, path), ...makes(info, kind, path, body))
  if (reads.has(info.verb)) return touches
  // the answer is the object as it is now
  if (info.verb !== 'create')
    touches.push(touch(info.verb === 'deletecollection' ? 'k8s:list' : 'k8s:get', path, 'implied'))
  touches.push(...consequencesOfKind(info, kind, path))
  if (info.verb === 'delete' || info.verb === 'deletecollection')
    return [...touches, ...consequencesOfDeletion(info, path)]
  touches.push(...consequencesOfContent(info, set, path))
  if (kind.mayHoldPods) touches.push(...touchesOfPods(podNeedsOf(set), path))
  return touches
}

function applies(body: Body): boolean {
  return (body.kind === 'patch' || body.kind === 'opaque') && body.patch === 'apply'
}

/** Whether there is such an object already only the API server knows. */
function makes(info: ResourceRequest, kind: Kind, path: ObjectPath, body: Body): readonly Touch[] {
  if (info.verb === 'patch' && applies(body)) return [touch('k8s:create', path)]
  return info.verb === 'update' && kind.madeByUpdate ? [touch('k8s:create', path)] : []
}

/** What is in the body holds, also where the query says that nothing is to be changed. */
function dryRunOfDeletion(info: ResourceRequest, body: Body): Result<boolean, Refused> {
  if (body.kind === 'none') return readDryRun(info.parameters.get('dryRun'))
  if (body.kind !== 'object') return { ok: true, value: false }
  const values = elementsOf(at(body.value, 'dryRun')).map(String)
  if (info.parameters.has('dryRun') && values.length === 0)
    return malformed('the query says dryRun, and the body, which is what counts, does not')
  return readDryRun(values)
}

function nameIn(set: readonly Document[]): string {
  return set.map((document) => textAt(document, 'metadata', 'name')).find((name) => name !== undefined) ?? ''
}

const ownReviews = new Set(['selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'selfsubjectreviews'])

/** What one may do oneself is asked by making an object that is kept nowhere. */
function isOwnReview({ group, resource, verb }: ResourceRequest): boolean {
  return (
    (group === 'authorization.k8s.io' || group === 'authentication.k8s.io') &&
    ownReviews.has(resource) &&
    verb === 'create'
  )
}

function indirectUses(
  info: ResourceRequest,
  path: ObjectPath,
  body: Body,
  change: Change,
): readonly IndirectUse[] {
  const removes = body.kind === 'patch' && body.patch === 'strategic'
  const replaced = info.verb === 'update' && body.kind === 'object' ? body.value : undefined
  return indirectUsesOf(info.parameters, path, change, removes, replaced)
}

function factsOf(info: ResourceRequest, body: Body, { set }: Change, dryRun: boolean): Record<string, Fact> {
  const [container] = info.parameters.get('container') ?? []
  const command = info.parameters.get('command')
  // of those that are told later, none yet
  const ports = info.parameters.get('ports') ?? []
  const remote = remoteCommandOf(info)
  const copy = remote && copyOf(remote.argv)
  const replicas = replicasIn(set)
  const patch = body.kind === 'patch' ? body.patch : undefined
  const facts: KubernetesFacts = {
    verb: info.verb,
    group: info.group,
    version: info.version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name === '' ? nameIn(set) : info.name,
    dryRun,
    force: isSet(info.parameters, 'force'),
    selectors: ['labelSelector', 'fieldSelector'].flatMap((name) => info.parameters.get(name) ?? []),
    images: [...podNeedsOf(set).images],
    orphans: orphans(info, body),
    ...(patch !== undefined && { patch }),
    ...(replicas !== undefined && { replicas }),
    ...(command !== undefined && { command }),
    ...(container !== undefined && { container }),
    ...(remote && { stdin: remote.stdin, tty: remote.tty }),
    ...(copy && { paths: copy.paths }),
    ...(streamsOf(info) === 'portforward' && { ports }),
  }
  return { ...facts }
}

/** Absent where it can't be told what a program starts: it may be told that by its input. */
function programFacts(info: ResourceRequest): Command['facts'] {
  const { argv = [], stdin = false } = remoteCommandOf(info) ?? {}
  return stdin && !copyOf(argv) ? {} : shellFactsOf(argv)
}

function orphans({ parameters }: ResourceRequest, body: Body): boolean {
  const options = body.kind === 'object' ? body.value : undefined
  const [asked] = parameters.get('propagationPolicy') ?? []
  return (
    (textAt(options, 'propagationPolicy') ?? asked) === 'Orphan' ||
    at(options, 'orphanDependents') === true ||
    isSet(parameters, 'orphanDependents')
  )
}

/** Discovery, schemas, health. */
const discoverable = new Set(['api', 'apis', 'version', 'openapi', 'healthz', 'livez', 'readyz', ''])

function ofOther(request: HttpRequest, { segments, method }: OtherRequest): Analysed {
  const [first = ''] = segments
  const isDiscovery = discoverable.has(first) && (method === 'GET' || method === 'HEAD')
  const path: ObjectPath = [noNamespace, 'path', `/${segments.join('/')}`]
  const command: Command = {
    resourceType: 'kubernetes',
    text: textOf(request),
    touches: [isDiscovery ? touch('k8s:discover', path, 'baseline') : touch('k8s:nonResource', path)],
    opaque: [],
    fields: [],
    indirectUses: [],
    facts: { k8s: { verb: method.toLowerCase(), dryRun: false, resource: '', name: '' } },
  }
  const objects = { path, isBuiltin: true, watches: false, ofSeveral: false, isText: true }
  return { command, changesPods: false, ...(!isDiscovery && { objects }) }
}

/**
 * What a patch makes of an object that holds pods. What it sets is in the patch; what the pod was given before, in which its
 * image or its command runs then, is in the object alone. An update that keeps all but a part of the object is like a patch.
 */
import { type Command, everyName, type Touch } from '@firebreak/policy'
import { at, type Document } from '../documents/document.ts'
import { touchesOfPods } from './consequences.ts'
import type { Change } from './patch.ts'
import { isAppArmor, type PodNeeds, podNeedsOf } from './pods.ts'
import type { ResourceRequest } from './request-info.ts'
import { type Kind, podsAtOf } from './resources.ts'
import type { ObjectPath } from './touches.ts'

/** Subresources in which the pods' own description isn't, or can't be changed but for their resources. */
const apart = new Set(['status', 'scale', 'resize'])
/** Of kinds that only their makers know: what is in a status may become pods. */
const apartOfOthers = new Set(['scale'])

/**
 * Whether what pods are is changed by what is understood, and sent without all of the object.
 *
 * @param applies whether what its manager applied before, and leaves out now, is taken away.
 */
export function changesPods(
  { verb, subresource }: ResourceRequest,
  { mayHoldPods, podsAt, isBuiltin }: Kind,
  { set, opaque }: Change,
  applies: boolean,
): boolean {
  if (!mayHoldPods || opaque.length > 0) return false
  // of the pod that is sent the API server takes these containers alone
  if (verb === 'update') return subresource === 'ephemeralcontainers'
  if (verb !== 'patch' || (isBuiltin ? apart : apartOfOthers).has(subresource)) return false
  return applies || set.some((document) => (podsAt ? sets(document, podsAt) : setsAnything(document)))
}

/** Of a PersistentVolume, whose description is read as a pod's: of files it says only whether they stay. */
const reclaimPolicy = 'persistentVolumeReclaimPolicy'

/** Whether something is set at a place, below it, or around it. */
function sets(document: Document | undefined, [first, ...others]: readonly string[]): boolean {
  if (document === undefined) return false
  if (!(document instanceof Map)) return true
  if (first === undefined)
    return document.size === 0 || [...document.keys()].some((name) => name !== reclaimPolicy)
  return hasDirective(document) || sets(document.get(first), others)
}

/** `$patch: replace` and others of a strategic patch say something of what is around them. */
function hasDirective(document: ReadonlyMap<string, Document>): boolean {
  return [...document.keys()].some((name) => name.startsWith('$'))
}

const ofNoPod = new Set(['apiVersion', 'kind', 'metadata'])

/** Of kinds that only their makers know any part may be one of a pod: a script, the name of a template. */
function setsAnything(document: Document): boolean {
  if (!(document instanceof Map)) return true
  return [...document].some(([name, value]) =>
    name === 'spec' && value instanceof Map
      ? [...value].some(([inner, given]) => inner !== 'replicas' || holdsMore(given))
      : !ofNoPod.has(name),
  )
}

function holdsMore(value: Document): boolean {
  return typeof value === 'object' && value !== null
}

const anything: PodNeeds = {
  privileged: true,
  hostAccess: true,
  nodes: new Set([everyName]),
  serviceAccounts: new Set([everyName]),
  secrets: new Set([everyName]),
  configMaps: new Set([everyName]),
  images: new Set(),
}

/** What a change can turn out to do at most. */
export function worstOf(command: Command, path: ObjectPath): Command {
  return {
    ...command,
    touches: [...command.touches, ...touchesOfPods(anything, path)],
    unsettled: ['actions', 'objects', 'k8s.images'],
  }
}

/** @param object that the change makes. @returns what the change does, with what comes of pods that are so. */
export function withResult(
  command: Command,
  path: ObjectPath,
  object: ReadonlyMap<string, Document>,
): Command {
  const [, kind] = path
  const needs = podNeedsOf(descriptionsIn(object, podsAtOf(kind)))
  // a pod is where the scheduler has put it
  const found = touchesOfPods(kind === 'pods' ? { ...needs, nodes: new Set() } : needs, path)
  const known = new Set(command.touches.map(keyOf))
  const { k8s = {} } = command.facts
  const images = new Set([...(Array.isArray(k8s.images) ? k8s.images : []), ...needs.images])
  return {
    ...command,
    touches: [...command.touches, ...found.filter((touch) => !known.has(keyOf(touch)))],
    facts: { ...command.facts, k8s: { ...k8s, images: [...images] } },
  }
}

/** What its maker or a controller says of an object itself gives nothing to pods. */
function descriptionsIn(object: ReadonlyMap<string, Document>, podsAt: Kind['podsAt']): readonly Document[] {
  if (!podsAt) return [new Map([...object].filter(([name]) => name !== 'metadata'))]
  const annotations = at(object, ...podsAt.slice(0, -1), 'metadata', 'annotations')
  const profiles = annotations instanceof Map ? [...annotations].filter(([name]) => isAppArmor(name)) : []
  return [at(object, ...podsAt) ?? null, new Map(profiles)]
}

function keyOf({ action, object: { path }, origin }: Touch): string {
  return JSON.stringify([action, path, origin])
}

import { isDeepStrictEqual } from 'node:util'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import type { Resource } from '../kubernetes/objects.ts'
import { type Condition, verifiedCondition } from './conditions.ts'
import type { Recorder, Regarded } from './event-recorder.ts'

interface Status {
  readonly conditions?: readonly Condition[]
}

/** It passes by itself, with every change; what comes of it is told. */
const passing = ['Updating']

/** What was last written of an object as it was read: the watch may not have told of it yet. */
const written = new WeakMap<Regarded, Status>()

/** Writes a status where it says something new, and tells of that in Events: a write that changes nothing would wake up every watcher. */
export async function writeStatus<T extends Regarded & { status?: Status }>(
  client: KubernetesClient,
  recorder: Recorder,
  resource: Resource<T>,
  object: T,
  status: NonNullable<T['status']>,
): Promise<void> {
  const before = written.get(object) ?? withoutOthers(object.status)
  if (isDeepStrictEqual(sorted(before), sorted(status))) return
  const { name, namespace } = object.metadata
  const metadata = { name, ...(namespace !== undefined && { namespace }) }
  try {
    await client.apply(resource, { metadata, status } as T, 'status')
  } catch (error) {
    // deleted meanwhile: there is nobody left to tell
    if (error instanceof ApiError && error.status === 404) return
    throw error
  }
  written.set(object, status)
  for (const { type, reason, message } of changed(before?.conditions, status.conditions))
    recorder.record(object, { type, reason, action: 'Reconcile', note: message })
}

/** What somebody else writes into it is no reason to write it again. */
function withoutOthers<T extends Status>(status: T | undefined): T | undefined {
  return (
    status?.conditions && {
      ...status,
      conditions: status.conditions.filter(({ type }) => type !== verifiedCondition),
    }
  )
}

/** They only repeat one of the others. */
const summaries = ['Ready', 'Reconciling', 'Stalled']

/** The conditions that say something else than before. */
function changed(before: readonly Condition[] = [], now: readonly Condition[] = []) {
  return now
    .filter(({ type, status, reason }) => {
      const known = before.find((each) => each.type === type)
      return !summaries.includes(type) && !(known?.status === status && known.reason === reason)
    })
    .filter(({ reason }) => !passing.includes(reason))
    .map(({ status, reason, message }) => ({
      type: status === 'True' ? ('Normal' as const) : ('Warning' as const),
      reason,
      message,
    }))
}

function sorted(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}

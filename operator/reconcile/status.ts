import { isDeepStrictEqual } from 'node:util'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import type { KubernetesObject, Resource } from '../kubernetes/objects.ts'

/** Writes a status where it says something new: a write that changes nothing would wake up every watcher. */
export async function writeStatus<T extends KubernetesObject & { status?: object }>(
  client: KubernetesClient,
  resource: Resource<T>,
  { metadata: { name, namespace }, status: before }: T,
  status: NonNullable<T['status']>,
): Promise<void> {
  if (isDeepStrictEqual(sorted(before), sorted(status))) return
  const metadata = { name, ...(namespace !== undefined && { namespace }) }
  try {
    await client.apply(resource, { metadata, status } as T, 'status')
  } catch (error) {
    // deleted meanwhile: there is nobody left to tell
    if (!(error instanceof ApiError && error.status === 404)) throw error
  }
}

function sorted(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}

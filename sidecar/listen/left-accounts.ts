import type { ProtectedResource } from '@firebreak/crds'
import { nameOf } from '../configuration/name.ts'
import type { Runtime } from '../runtime.ts'
import type { Protocol } from '../session.ts'
import { targetOf } from './target.ts'

/** Drops what a process that was killed has left in a target. One that can't be reached now is left to the next session. */
export async function dropLeftAccounts(
  resource: ProtectedResource,
  protocol: Protocol,
  runtime: Runtime,
): Promise<void> {
  const { configuration, credentials } = runtime
  const target = targetOf(resource, configuration)
  if (!target.ok) return
  for (const role of resource.spec.roles) {
    if (!role.shortLived) continue
    const credential = await credentials.current(nameOf(resource), role.name)
    // a new one is not for an old target
    if (runtime.configuration !== configuration) return
    if (credential.ok) await protocol.dropLeftAccounts?.(target.value, credential.value)
  }
}

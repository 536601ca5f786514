/** What every way of running the enforcer does alike: from a directory of manifests, or as the operator's. */
import type { ManifestProblem, ProtectedResource } from '@firebreak/crds'
import type { ResourceType } from '@firebreak/policy'
import { Audit } from './audit/audit.ts'
import type { AuditWriterEvents } from './audit/writer.ts'
import { dropLeftAccounts } from './listen/left-accounts.ts'
import { type Address, Listener } from './listen/listener.ts'
import { mayHoldSecret, normalizeSql } from './protocols/postgresql/analysis/normalize.ts'
import { postgresql } from './protocols/postgresql/index.ts'
import type { Runtime } from './runtime.ts'
import type { Protocol } from './session.ts'
import { inWords } from './system-errors.ts'

/** The protocols that are spoken, and the port that clients expect each on. */
export const protocols: Partial<
  Record<ResourceType, { readonly protocol: Protocol; readonly port: number }>
> = {
  postgresql: { protocol: postgresql, port: 5432 },
}

/** @param path undefined is standard output. @throws Error in words. */
export async function openAudit(path: string | undefined, events: AuditWriterEvents): Promise<Audit> {
  return await Audit.open(path, { normalize: normalizeSql, mayHoldSecret }, events).catch(
    (error: unknown) => {
      throw new Error(`the audit trail can't be written to ${path}: ${inWords(error)}`)
    },
  )
}

/** Guards a resource on an address. @throws the system's error. */
export async function openListener(
  resource: ProtectedResource,
  protocol: Protocol,
  runtime: Runtime,
  address: Address,
  identity: string | undefined,
): Promise<Listener> {
  const listener = await Listener.open(resource, protocol, runtime, address, identity)
  void dropLeftAccounts(resource, protocol, runtime)
  return listener
}

/** Tells every session, and closes what they came in by. */
export async function endSessions(
  { sessions }: Runtime,
  listeners: readonly { close(): Promise<void> }[],
): Promise<void> {
  for (const session of sessions) session.shutDown()
  await Promise.all(listeners.map((listener) => listener.close()))
  // those that never came to be served: each start has its end
  for (const session of sessions) session[Symbol.dispose]()
}

export function inOneLine({ location, object, field, message }: ManifestProblem): string {
  const about = [object, field].filter((part) => part !== '').join(' ')
  const line = location.line === 0 ? '' : `:${location.line}`
  return `${location.file}${line}: ${about === '' ? '' : `${about}: `}${message}`
}

/** Asking for more rights for a while, in the name of whoever is proven. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { QualifiedName, Subject } from '@firebreak/policy'
import type { Runtime } from '../runtime.ts'
import type { Result } from '../session.ts'

export interface AccessRequest {
  /** Name of the resource, in the identity's namespace. */
  readonly resource: string
  /** A role of its own says which sessions the actions are for; another one is asked for. */
  readonly role?: string | undefined
  readonly actions?: readonly string[] | undefined
  readonly objects?: readonly string[] | undefined
  /** As the API writes durations: `30m`. */
  readonly duration: string
  readonly justification: string
  /** Granted at once, where a policy has such an elevation. */
  readonly breakGlass?: boolean | undefined
}

/** @param chain as proven, without what was granted to it. @returns the request, or why it can't be made, in words for people. */
export async function requestAccess(
  { approvals, approvalsProblem, configuration }: Runtime,
  chain: Subject['chain'],
  { resource: name, role, actions, objects, duration, justification, breakGlass = false }: AccessRequest,
  /** UID of the process that asks, where it can be told. */
  user?: number,
): Promise<Result<ApprovalRequest, string>> {
  const { identity } = chain.at(-1) ?? chain[0]
  if (!approvals) return failed(approvalsProblem ?? `no policy lets ${identity} ask for more rights`)
  if (!/^[1-9][0-9]{0,8}(ms|s|m|h|d)([0-9]{1,9}(ms|s|m|h|d))*$/.test(duration))
    return failed(`expected a duration such as 30m or 1h30m, not ${duration}`)
  const [namespace = ''] = identity.split('/')
  const resource: QualifiedName = `${namespace}/${name}`
  const own = configuration.manifests.identities
    .find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === identity)
    ?.spec.access?.find((access) => access.resource === name)?.roles
  const [first] = own ?? []
  if (!own || first === undefined) return failed(`${identity} has no access to ${resource}`)
  const isOwn = role !== undefined && own.includes(role)
  const subject: Subject = { chain, resource, role: isOwn ? role : first }
  const refusal = configuration.snapshot.refusal(subject)
  if (refusal !== undefined) return failed(refusal)
  const ask = {
    ...(role !== undefined && !isOwn && { role }),
    ...(actions && { actions }),
    ...(objects && { objects }),
    duration,
    justification,
    breakGlass,
  }
  try {
    return await approvals.requestAccess(subject, ask, configuration.snapshot, await approvals.asker(user))
  } catch (error) {
    return failed(
      `the request could not be recorded: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

function failed(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error }
}

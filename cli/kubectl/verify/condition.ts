/** Notes on ProtectedResources what was found out, with the rights of whoever ran verify. */
import type { AgentIdentity, ProtectedResource } from '@firebreak/crds'
import { ApiError, type KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import {
  type KubernetesObject,
  protectedResources,
  selfSubjectReviews,
} from '@firebreak/operator/kubernetes/objects.ts'
import { conditionsSince, type Finding, verifiedCondition } from '@firebreak/operator/reconcile/conditions.ts'
import { type Check, isProven } from './check.ts'

/** Not the operator's: neither takes the other's conditions away. */
const manager = 'firebreak-verify'
/** Of the API server, for a condition. */
const longestMessage = 32_768

/** @returns why it could not be noted, for resources where it could not. */
export async function noteOn(
  client: KubernetesClient,
  resources: readonly (ProtectedResource & KubernetesObject)[],
  identities: readonly AgentIdentity[],
  checks: readonly Check[],
): Promise<readonly string[]> {
  const who = await nameOf(client)
  const noted = await Promise.all(
    resources.map(async (resource) => {
      const { name, namespace, generation } = resource.metadata
      const about = checks.filter((check) => concerns(check, resource, identities))
      const now = new Date().toISOString()
      const conditions = conditionsSince(
        [findingOf(about, who, now)],
        generation,
        resource.status?.conditions,
        now,
      )
      try {
        await client.apply(
          protectedResources,
          { metadata: { name, namespace }, status: { conditions } } as typeof resource,
          'status',
          manager,
        )
        return []
      } catch (error) {
        if (!(error instanceof ApiError)) throw error
        return [`${namespace}/${name}: ${error.message}`]
      }
    }),
  )
  return noted.flat()
}

/** Those about the resource, and those about agents that may use it. */
function concerns(
  check: Check,
  { metadata: { namespace, name } }: ProtectedResource,
  identities: readonly AgentIdentity[],
): boolean {
  if (check.namespace !== namespace) return false
  if (check.resource !== undefined) return check.resource === name
  const identity = identities.find(
    ({ metadata }) => metadata.namespace === namespace && metadata.name === check.name,
  )
  return identity?.spec.access?.some(({ resource }) => resource === name) === true
}

function findingOf(checks: readonly Check[], who: string, when: string): Finding {
  const wrong = checks.filter(({ outcome }) => outcome === 'failed')
  const open = checks.filter(({ outcome }) => outcome === 'unknown')
  const by = `tried by ${who} at ${when}`
  const said = (some: readonly Check[]): string =>
    some.map(({ name, check, message }) => `${check} of ${name}: ${message}`).join('; ')
  const type = verifiedCondition
  if (wrong.length > 0)
    return {
      type,
      status: 'False',
      reason: 'NotAsPromised',
      message: `${said(wrong)} (${by})`.slice(0, longestMessage),
    }
  return isProven(checks)
    ? { type, status: 'True', reason: 'Proven', message: by }
    : {
        type,
        status: 'Unknown',
        reason: 'NotProven',
        message: `${said(open) || 'nothing was tried'} (${by})`.slice(0, longestMessage),
      }
}

/** By which name the API server knows whose kubeconfig it is. */
async function nameOf(client: KubernetesClient): Promise<string> {
  try {
    const { status } = await client.create(selfSubjectReviews, { metadata: { name: '' } })
    return status?.userInfo?.username ?? 'somebody'
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return 'somebody'
  }
}

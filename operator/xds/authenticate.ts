/** Who is at the other end of a configuration stream: the pod that a projected token is bound to. */
import { labels } from '../containment/names.ts'
import { layout } from '../injection/layout.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { pods, tokenReviews } from '../kubernetes/objects.ts'
import type { Key } from '../watch/informer.ts'
import type { KnownPod } from '../watch/known-pod.ts'
import type { World } from '../watch/world.ts'

export interface ProvenPod {
  readonly uid: string
  /** `namespace/name` of the pod. */
  readonly key: Key
  /** Of its AgentIdentity. */
  readonly agent: Key
  /** When the token is good no longer, in milliseconds since 1970. */
  readonly expiresAt: number
}

export type PodProof =
  | { readonly ok: true; readonly value: ProvenPod }
  /** Says nothing that a caller could learn from. */
  | { readonly ok: false; readonly error: string }

const longestToken = 16_384

/** Asks the API server whose token it is. https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims */
export async function provePod(
  token: string | undefined,
  client: KubernetesClient,
  world: World,
): Promise<PodProof> {
  const expiresAt = token === undefined ? undefined : expiryOf(token)
  // spares the API server what can't be a token of ours
  if (token === undefined || expiresAt === undefined) return unproven('a service account token is needed')
  const { status } = await client.create(tokenReviews, {
    metadata: { name: '' },
    spec: { token, audiences: [layout.controlAudience] },
  })
  if (status?.authenticated !== true || status.audiences?.includes(layout.controlAudience) !== true)
    return unproven('the token is not valid')
  const { username = '', extra = {} } = status.user ?? {}
  const [, namespace] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(username) ?? []
  const name = extra['authentication.kubernetes.io/pod-name']?.[0]
  const uid = extra['authentication.kubernetes.io/pod-uid']?.[0]
  if (namespace === undefined || name === undefined || uid === undefined)
    return unproven('the token is not bound to a pod')
  const pod = await livePod(`${namespace}/${name}`, uid, client, world)
  const agent = pod?.metadata.labels?.[labels.agent]
  if (agent === undefined) return unproven('the pod is not the pod of an agent')
  return {
    ok: true,
    value: { uid, key: `${namespace}/${name}`, agent: `${namespace}/${agent}`, expiresAt },
  }
}

/** A pod that is there and hasn't ended, the one with this UID and no later one of the same name. */
export function isAlive(pod: KnownPod | undefined, uid: string): pod is KnownPod {
  return pod?.metadata.uid === uid && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed'
}

async function livePod(
  key: Key,
  uid: string,
  client: KubernetesClient,
  world: World,
): Promise<KnownPod | undefined> {
  const [namespace = '', name = ''] = key.split('/')
  const known = world.pods.get(key)
  // a watch may be a moment behind
  const pod = known?.metadata.uid === uid ? known : await client.get(pods, name, namespace)
  return isAlive(pod, uid) ? pod : undefined
}

/** What a JWT for our audience says of its end, before anything of it is proven. */
function expiryOf(token: string): number | undefined {
  const [, payload, signature] = token.length > longestToken ? [] : token.split('.')
  if (payload === undefined || signature === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    if (typeof claims !== 'object' || claims === null || !('aud' in claims) || !('exp' in claims))
      return undefined
    const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud]
    const { exp } = claims
    return audiences.includes(layout.controlAudience) && typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}

function unproven(error: string): PodProof {
  return { ok: false, error }
}

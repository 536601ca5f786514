import { annotations } from '../containment/names.ts'
import type { KubernetesObject } from '../kubernetes/objects.ts'

/**
 * What the operator keeps of a pod. It follows those of the whole cluster, many thousands, and most of a pod is what
 * nothing here hangs on.
 */
export interface KnownPod extends KubernetesObject {
  readonly spec?: { readonly serviceAccountName?: string }
  readonly status?: { readonly phase?: string }
}

const ownAnnotations: ReadonlySet<string> = new Set(Object.values(annotations))

/** @param pod a whole one. */
export function known({ metadata, spec, status }: KnownPod): KnownPod {
  const { name, namespace, uid, resourceVersion, labels, deletionTimestamp } = metadata
  const own = Object.entries(metadata.annotations ?? {}).filter(([key]) => ownAnnotations.has(key))
  return {
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(labels && { labels }),
      ...(own.length > 0 && { annotations: Object.fromEntries(own) }),
      ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    },
    ...(spec?.serviceAccountName !== undefined && { spec: { serviceAccountName: spec.serviceAccountName } }),
    ...(status?.phase !== undefined && { status: { phase: status.phase } }),
  }
}

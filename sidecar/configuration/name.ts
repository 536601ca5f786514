/** Names of manifests among those of all namespaces. */
import type { QualifiedName } from '@firebreak/policy'

export function nameOf({ metadata }: { metadata: { namespace: string; name: string } }): QualifiedName {
  return `${metadata.namespace}/${metadata.name}`
}

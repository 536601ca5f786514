/** Names that the sidecar is started with. */
import { closest } from '@firebreak/crds'
import type { Configuration } from '../configuration/configuration.ts'
import { isLoopbackIdentity } from '../listen/authenticate.ts'
import type { StandaloneOptions } from './options.ts'

/** @throws Error for a name that was given to start with and that the manifests don't have: it would change nothing. */
export function refuseUnknownNames(
  { listen, identity }: StandaloneOptions,
  { manifests }: Configuration,
): void {
  const refuse = (kind: string, name: string, known: readonly string[]): void => {
    if (known.includes(name)) return
    const near = closest(name, known) ?? known.join(', ')
    throw new Error(`there is no ${kind} ${name}; ${near === '' ? 'there is none' : `there is ${near}`}`)
  }
  const resources = manifests.resources.map(({ metadata }) => metadata.name)
  for (const name of listen?.keys() ?? []) refuse('ProtectedResource', name, resources)
  const identities = manifests.identities.filter(isLoopbackIdentity).map(({ metadata }) => metadata.name)
  if (identity !== undefined) refuse('AgentIdentity for loopback listeners', identity, identities)
}

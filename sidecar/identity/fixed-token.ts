/** Tokens that stand in a manifest, or that it refers to. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AgentIdentity } from '@firebreak/crds'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { readValue } from '../configuration/values.ts'
import type { RootProof } from '../delegation/delegation.ts'

/** Every token is compared, in constant time, so that neither which nor how much of one fits can be measured. */
export function matchFixedToken(
  token: string,
  candidates: readonly AgentIdentity[],
  configuration: Configuration,
): RootProof | undefined {
  const presented = digest(token)
  let found: AgentIdentity | undefined
  for (const identity of candidates) if (isFixedToken(presented, identity, configuration)) found ??= identity
  return (
    found && {
      kind: 'fixedToken',
      identity: nameOf(found),
      groups: found.spec.groups ?? [],
      digest: presented,
    }
  )
}

/** @returns whether the token with this digest still is the identity's. */
export function isFixedToken(
  presented: Buffer,
  identity: AgentIdentity,
  configuration: Configuration,
): boolean {
  const expected = expectedDigest(identity, configuration)
  return expected !== undefined && timingSafeEqual(expected, presented)
}

function expectedDigest(identity: AgentIdentity, configuration: Configuration): Buffer | undefined {
  const source = identity.spec.authentication.token
  const expected = source && readValue(source, identity.metadata.namespace, configuration)
  return expected?.ok && expected.value !== '' ? digest(expected.value) : undefined
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

import type { SessionIdentity } from '../audit/audit.ts'

/** What all spans say of the session that they are of, as its audit lines do. */
export function aboutSession({ session, subject }: SessionIdentity): Readonly<Record<string, unknown>> {
  const { chain, resource, role } = subject
  return {
    'firebreak.session': session,
    'firebreak.identity': (chain.at(-1) ?? chain[0]).identity,
    ...(chain.length > 1 && { 'firebreak.chain': chain.map(({ identity }) => identity) }),
    'firebreak.resource': resource,
    'firebreak.role': role,
  }
}

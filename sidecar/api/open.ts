/** The local API of one sidecar: its routes, and who may ask. */
import { newReference } from '../audit/reference.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { chainOf, type Proof, type Rejection, rejected } from '../identity/proof.ts'
import { misuseSignal } from '../identity/signal.ts'
import { byLoopback, prove } from '../listen/authenticate.ts'
import type { Address } from '../listen/listener.ts'
import type { Runtime } from '../runtime.ts'
import type { Result } from '../session.ts'
import { accessRoutes } from './access.ts'
import { delegationRoutes } from './delegations.ts'
import { ApiServer } from './server.ts'

export interface OpenApi {
  readonly server: ApiServer
  readonly address: Address
}

/** The first port that is tried where none is asked for. */
export const apiPort = 4780

/** Whether the manifests let agents ask for anything. */
export function needsApi({ manifests }: Configuration): boolean {
  return (
    manifests.identities.some(({ spec }) => spec.delegation) ||
    manifests.policies.some(({ spec }) => (spec.elevations ?? []).length > 0)
  )
}

/**
 * @param openTcp listens on the address that was asked for, or near the usual port.
 * @param onlyIdentity whom clients without a token are, where several could be meant.
 * @param socket where it listens as well, for whom the file's rights let in.
 * @throws Error in words, when it can't listen.
 */
export async function openApi(
  runtime: Runtime,
  openTcp: (listen: (address: Address) => Promise<Address>) => Promise<Address>,
  onlyIdentity: string | undefined,
  socket?: string,
): Promise<OpenApi> {
  const server = new ApiServer({
    routes: [...delegationRoutes(runtime.delegations), ...accessRoutes(runtime)],
    prove: (token, remote, user) => proveCaller(token, remote, user, runtime, onlyIdentity),
    unavailable: () =>
      runtime.audit.blocks('block')
        ? "the gateway can't write its audit trail, and does nothing without"
        : undefined,
  })
  try {
    const address = await openTcp((wanted) => server.listen(wanted))
    if (socket !== undefined) await server.listenOn(socket)
    return { server, address }
  } catch (error) {
    await server.close()
    throw error
  }
}

/** By the same rules as on a listener. */
async function proveCaller(
  token: string | undefined,
  remote: string,
  user: () => number | undefined,
  runtime: Runtime,
  onlyIdentity: string | undefined,
): Promise<Result<Proof, Rejection & { readonly reference: string }>> {
  const { identities } = runtime.configuration.manifests
  const proof = await prove(token, identities, runtime, () =>
    byLoopback(identities, 'the local API', runtime.identities, onlyIdentity),
  )
  const restricted = proof.ok && runtime.restrictions.refusal(chainOf(proof.value))
  const suspended =
    (restricted && rejected('forbidden', restricted)) ||
    (proof.ok &&
      identities.some((identity) => identity.spec.suspend && nameOf(identity) === proof.value.identity) &&
      rejected('forbidden', `the identity ${proof.value.identity} is suspended`))
  const contradiction = proof.ok && runtime.delegations.open.contradiction(proof.value, user)
  const result =
    suspended ||
    (contradiction
      ? ({ ok: false, error: { ...contradiction, identity: proof.value.identity } } as const)
      : proof)
  if (result.ok) return result
  const reference = newReference()
  const { message: reason, misuse: problem, chain } = result.error
  runtime.audit.notice('request.refused', { reference, remote, reason, problem, chain })
  const signal = misuseSignal(result.error, { reference, remote })
  if (signal) runtime.notice('signal', signal)
  return { ok: false, error: { ...result.error, reference } }
}

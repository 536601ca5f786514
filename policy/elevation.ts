/** More rights for a while: what may be asked for. */
import type { GuardrailPolicySpec } from '@firebreak/crds'
import type { ElevationOffer, QualifiedName } from './decision.ts'
import { seconds } from './duration.ts'
import { globCovers, nameCovers } from './names.ts'

/** What somebody asks for. At least one of role and actions. */
export interface ElevationAsk {
  readonly role?: string
  readonly actions?: readonly string[]
  /** Absent: all that the policy offers. */
  readonly objects?: readonly string[]
  /** As the API writes it: `30m`. */
  readonly duration: string
}

export function offersOf(policy: QualifiedName, spec: GuardrailPolicySpec): ElevationOffer[] {
  return (spec.elevations ?? []).map(
    ({ name, roles, actions, objects, maxDuration, approval, breakGlass }) => ({
      rule: { policy, rule: name },
      ...(roles && { roles }),
      ...(actions && { actions }),
      ...(objects && { objects }),
      maxDuration,
      requirement: {
        rule: { policy, rule: name },
        groups: approval?.groups ?? [],
        quorum: approval?.quorum ?? 1,
      },
      expiresAfterSeconds: seconds(approval?.expiresAfter ?? '15m'),
      breakGlass,
    }),
  )
}

/** Finds the offer that covers all that is asked for. @param breakGlass whether one is meant that asks nobody; it is never taken for another. */
export function findOffer(
  offers: readonly ElevationOffer[],
  ask: ElevationAsk,
  breakGlass: boolean,
): ElevationOffer | undefined {
  return offers.find((offer) => offer.breakGlass === breakGlass && covers(offer, ask))
}

function covers(offer: ElevationOffer, { role, actions, objects, duration }: ElevationAsk): boolean {
  return (
    (role === undefined || (offer.roles?.includes(role) ?? false)) &&
    (actions ?? []).every(
      (action) => offer.actions?.some((pattern) => globCovers(pattern, action)) ?? false,
    ) &&
    (objects ?? []).every(
      (object) => offer.objects?.some((pattern) => nameCovers(pattern, object)) ?? true,
    ) &&
    seconds(duration) <= seconds(offer.maxDuration)
  )
}

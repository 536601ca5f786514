/** The approvals station of a sidecar, opened once a policy asks people: where none does, nothing is kept. */
import type { Configuration } from '../configuration/configuration.ts'
import type { Runtime } from '../runtime.ts'
import { ApprovalStation, type StationOptions } from './station.ts'

/** Whether any policy asks people. */
export function asksPeople({ manifests }: Configuration): boolean {
  return manifests.policies.some(
    ({ spec }) =>
      (spec.elevations ?? []).length > 0 ||
      spec.rules?.some(({ effect }) => effect === 'requireApproval') ||
      spec.signals?.some(({ action }) => action !== 'alert'),
  )
}

/** @throws Error when the store can't be used. */
export async function openApprovals(
  runtime: Runtime,
  { notify, ...options }: Pick<StationOptions, 'store' | 'agentUsers' | 'notify'>,
): Promise<void> {
  runtime.approvals = await ApprovalStation.open({
    ...options,
    clock: runtime.clock,
    notice: runtime.notice,
    notify: (event) => {
      runtime.restrictions.refresh()
      runtime.signals.approval(event)
      notify?.(event)
    },
    elevationsChanged: () => {
      for (const session of runtime.sessions) session.elevationsChanged()
    },
  })
  runtime.restrictions.refresh()
  runtime.approvals.policyChanged(runtime.configuration.snapshot)
  for (const session of runtime.sessions) session.elevationsChanged()
}

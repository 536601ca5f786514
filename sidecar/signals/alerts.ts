/** Rules with effect alert, as signals. */
import type { Notices } from '../audit/lines.ts'
import type { Configuration } from '../configuration/configuration.ts'
import type { CommandAudit } from '../session.ts'
import type { WatchedSession } from './signals.ts'

const severities = { info: 'low', warning: 'high', critical: 'critical' } as const

export function ruleAlerts(
  { id, subject }: WatchedSession,
  { decision, reference, command }: CommandAudit,
  { manifests }: Configuration,
): Notices['signal'][] {
  const { identity } = subject.chain.at(-1) ?? subject.chain[0]
  return decision.alerts.map(({ policy, rule }) => {
    const spec = manifests.policies
      .find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === policy)
      ?.spec.rules?.find(({ name }) => name === rule)
    const actions = [...new Set(command.touches.map(({ action }) => action))].slice(0, 8).join(', ')
    return {
      kind: 'rule',
      severity: severities[spec?.alert?.severity ?? 'warning'],
      session: id,
      identity,
      resource: subject.resource,
      ...(subject.chain.length > 1 && { chain: subject.chain.map((link) => link.identity) }),
      reference,
      policy,
      rule,
      explanation: `${identity} sent a command to ${subject.resource} that rule ${rule} is about (${actions}).${spec?.message === undefined ? '' : ` ${spec.message}`}`,
    }
  })
}

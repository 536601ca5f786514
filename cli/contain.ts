import { parseArgs } from 'node:util'
import { contain as setRules } from '@firebreak/sidecar/containment/rules/apply.ts'
import { type CliCommand, UsageError } from './command.ts'

export const contain: CliCommand = {
  name: 'contain',
  summary: "set the network rules of an agent's pod",
  options: ['envoy-uid', 'enforcer-uid'],
  help: `Sets the nftables rules that leave an agent's pod no way out but through the sidecars, and reads them back.
Runs once, before anything else of the pod, as root with the capability NET_ADMIN.

Usage: firebreak contain --envoy-uid=UID --enforcer-uid=UID

Exit code 0: the rules are in force. 1: they are not; standard error says why.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { 'envoy-uid': { type: 'string' }, 'enforcer-uid': { type: 'string' } },
    })
    if (positionals.length > 0) throw new UsageError('contain takes options only')
    const users = {
      envoy: uid('envoy-uid', values['envoy-uid']),
      enforcer: uid('enforcer-uid', values['enforcer-uid']),
    }
    if (users.envoy === users.enforcer) throw new UsageError('Envoy and the enforcer run as two users')
    await setRules(users)
    console.log(`contained: only the users ${users.envoy} and ${users.enforcer} reach the network themselves`)
    return 0
  },
}

/** Root would be everybody who is root in a container. */
function uid(option: string, value: string | undefined): number {
  if (value === undefined || !/^[1-9]\d{0,9}$/.test(value) || Number(value) >= 2 ** 32 - 1)
    throw new UsageError(`--${option} takes a UID above 0`)
  return Number(value)
}

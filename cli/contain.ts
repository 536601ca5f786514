import { parseArgs } from 'node:util'
import { untilInForce } from '@firebreak/sidecar/containment/in-force.ts'
import { contain as setRules } from '@firebreak/sidecar/containment/rules/apply.ts'
import { type CliCommand, UsageError } from './command.ts'

export const contain: CliCommand = {
  name: 'contain',
  summary: "set the network rules of an agent's pod",
  options: ['envoy-uid', 'enforcer-uid', 'await'],
  help: `Sets the nftables rules that leave an agent's pod no way out but through the sidecars, and reads them back.
Runs once, before anything of the agent, as root with the capability NET_ADMIN.

Usage: firebreak contain --envoy-uid=UID --enforcer-uid=UID [--await=PORT]

  --await PORT   then waits until the enforcer, whose --ready-port this is, says that a configuration is in force
                 in it and in Envoy

Exit code 0: the rules are in force, and what was waited for. 1: they are not; standard error says why.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        'envoy-uid': { type: 'string' },
        'enforcer-uid': { type: 'string' },
        await: { type: 'string' },
      },
    })
    if (positionals.length > 0) throw new UsageError('contain takes options only')
    const users = {
      envoy: uid('envoy-uid', values['envoy-uid']),
      enforcer: uid('enforcer-uid', values['enforcer-uid']),
    }
    if (users.envoy === users.enforcer) throw new UsageError('Envoy and the enforcer run as two users')
    const port = values.await === undefined ? undefined : readyPort(values.await)
    const signal = stopped()
    await setRules(users)
    console.log(`contained: only the users ${users.envoy} and ${users.enforcer} reach the network themselves`)
    if (port === undefined) return 0
    await untilInForce(port, (problem) => console.log(`waiting: ${problem}`), signal)
    console.log('a configuration is in force: the agent may start')
    return 0
  },
}

/** The first process of a container is not ended by a signal unless it asks for that; what is cut short has not succeeded. */
function stopped(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)))
  return stop.signal
}

/** Root would be everybody who is root in a container. */
function uid(option: string, value: string | undefined): number {
  if (value === undefined || !/^[1-9]\d{0,9}$/.test(value) || Number(value) >= 2 ** 32 - 1)
    throw new UsageError(`--${option} takes a UID above 0`)
  return Number(value)
}

function readyPort(value: string): number {
  if (!/^[1-9]\d{0,4}$/.test(value) || Number(value) > 65_535)
    throw new UsageError('--await takes a port number')
  return Number(value)
}

/** `kubectl firebreak verify`: proves on the cluster itself that agents can't get around Firebreak. */
import { parseArgs } from 'node:util'
import { agentIdentities, protectedResources } from '@firebreak/operator/kubernetes/objects.ts'
import { seconds } from '@firebreak/policy'
import { type CliCommand, UsageError } from '../../command.ts'
import { styleError } from '../../output.ts'
import { everywhereHelp, everywhereOptions, inPlace, type Place } from '../place.ts'
import { formatOf, outputHelp, outputOptions, wroteValue } from '../show.ts'
import { type Check, isProven } from './check.ts'
import { noteOn } from './condition.ts'
import { verifyNamespace } from './namespace.ts'
import { show } from './report.ts'

const options = {
  ...everywhereOptions,
  ...outputOptions,
  timeout: { type: 'string' },
} as const

const defaultTimeout = '2m'

class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

export const verify: CliCommand = {
  name: 'verify',
  summary: "prove that agents can't get around Firebreak on this cluster",
  options: Object.keys(options),
  help: `Proves by pods that live for a moment, in the namespaces of agents, that injection works, that agents get their sessions and
nothing else, and that the cluster's network plugin enforces the generated NetworkPolicies in both directions: a pod without a sidecar
doesn't reach what is protected, and one with an agent's labels reaches nothing. The pods run the image that sidecars run.

Usage: kubectl firebreak verify [--timeout DURATION] [-o json|yaml|wide] [-A | -n NS]

  --timeout DURATION      for a pod to start (default: ${defaultTimeout})
${outputHelp}
${everywhereHelp}

What was found out stands in the condition Verified of each ProtectedResource, where you may write its status.
Exit code 0: all of it is proven. 1: something isn't so, or could not be tried. 130: interrupted; the pods are deleted in any case.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    if (positionals.length > 0) throw new UsageError('verify takes options only')
    const format = formatOf(values.output)
    const patience = seconds(timeoutOf(values.timeout ?? defaultTimeout)) * 1000
    const interrupted = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => {
        progress('Deleting the probe pods …')
        interrupted.abort(new Interrupted())
      })
    try {
      const { checks, notNoted } = await inPlace(values, (place) =>
        verifyIn(place, patience, interrupted.signal),
      )
      const proven = isProven(checks)
      if (!wroteValue(format, { proven, checks })) show(checks)
      for (const message of notNoted) console.error(`${styleError('yellow', 'not noted on')} ${message}`)
      return proven ? 0 : 1
    } catch (error) {
      if (!interrupted.signal.aborted) throw error
      progress('Interrupted: nothing is proven.')
      return 130
    }
  },
}

async function verifyIn(
  { client, selection }: Place,
  patience: number,
  signal: AbortSignal,
): Promise<{ readonly checks: readonly Check[]; readonly notNoted: readonly string[] }> {
  const [{ items: identities }, { items: resources }] = await Promise.all([
    client.list(agentIdentities, selection),
    client.list(protectedResources, selection),
  ])
  const checks: Check[] = []
  const namespaces = new Set(identities.map(({ metadata: { namespace } }) => namespace))
  for (const namespace of [...namespaces].sort()) {
    const inNamespace = <T extends { metadata: { namespace: string } }>(all: readonly T[]): T[] =>
      all.filter(({ metadata }) => metadata.namespace === namespace)
    const circumstances = { client, progress, patience, signal }
    checks.push(
      ...(await verifyNamespace(namespace, inNamespace(identities), inNamespace(resources), circumstances)),
    )
  }
  const tried = resources.filter(({ metadata }) => namespaces.has(metadata.namespace))
  return { checks, notNoted: await noteOn(client, tried, identities, checks) }
}

/** A terminal's user waits; a program reads the result on standard output alone. */
function progress(message: string): void {
  console.error(styleError('dim', message))
}

function timeoutOf(text: string): string {
  if (!/^([1-9]\d*)(s|m|h)$/.test(text))
    throw new UsageError(`--timeout takes a duration as 90s or 2m, not ${text}`)
  return text
}

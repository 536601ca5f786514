/** What people see of verify. */
import { printable } from '../../approvals/text.ts'
import { style } from '../../output.ts'
import { type Check, type CheckName, isProven, type Outcome } from './check.ts'

const questions: Readonly<Record<CheckName, string>> = {
  Injection: 'its pods get their sidecars',
  GuardedAccess: 'it gets its sessions by way of them',
  DirectAccess: 'it gets nowhere past them',
  Egress: 'the network plugin keeps in what has no sidecar',
  Ingress: 'the network plugin keeps out who has no sidecar',
}

const signs: Readonly<Record<Outcome, string>> = {
  proven: style('green', '✓'),
  failed: style('red', '✗'),
  unknown: style('yellow', '?'),
  notApplicable: style('dim', '-'),
}

export function show(checks: readonly Check[]): void {
  if (checks.length === 0) return console.log('There are no agents: nothing is proven.')
  const about = new Set(checks.map(headingOf))
  for (const heading of about) {
    console.log(style('bold', heading))
    for (const { check, outcome, message } of checks.filter((each) => headingOf(each) === heading))
      console.log(`  ${signs[outcome]} ${questions[check].padEnd(50)}${printable(message)}`)
  }
  console.log('')
  for (const line of warning(checks)) console.log(style(['red', 'bold'], line))
  console.log(summary(checks))
}

function headingOf({ kind, namespace, name }: Check): string {
  return `${kind} ${namespace}/${name}`
}

/** Whoever reads nothing else reads this. */
function warning(checks: readonly Check[]): readonly string[] {
  const ignored = checks.filter(({ ignoredByNetworkPlugin }) => ignoredByNetworkPlugin)
  if (ignored.length === 0) return []
  const directions = ['Egress', 'Ingress'].filter((each) => ignored.some(({ check }) => check === each))
  return [
    `THE NETWORK PLUGIN OF THIS CLUSTER DOES NOT ENFORCE NetworkPolicies (${directions.join(' and ').toLowerCase()}).`,
    'What holds agents are the rules in their pods alone, and every pod without a sidecar reaches what it likes.',
    'Install a network plugin that enforces NetworkPolicies, and run this again.',
    '',
  ]
}

function summary(checks: readonly Check[]): string {
  if (isProven(checks)) return style('green', 'All of it is proven.')
  const count = (outcome: Outcome): number => checks.filter((check) => check.outcome === outcome).length
  const parts = [
    ...(count('failed') > 0 ? [`${count('failed')} not as promised`] : []),
    ...(count('unknown') > 0 ? [`${count('unknown')} could not be tried`] : []),
    `${count('proven')} proven`,
  ]
  return `${style('red', 'Not proven')}: ${parts.join(', ')}.`
}

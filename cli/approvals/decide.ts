/** `approve`, `deny` and `revoke`: the same decision, in three words. */
import { parseArgs } from 'node:util'
import { type DecisionResult, decideRequest, inTime, inWords, missingVotes } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { requestDirectory, whereHelp, whereOptions } from './directory.ts'

export interface Verb {
  readonly name: 'approve' | 'deny' | 'revoke'
  readonly summary: string
  readonly about: string
  readonly decision: 'Approved' | 'Denied'
}

export const verbs = {
  approve: {
    name: 'approve',
    summary: 'approve a request',
    about: 'Approves a request: a held command runs once, an elevation begins.',
    decision: 'Approved',
  },
  deny: {
    name: 'deny',
    summary: 'deny a request',
    about: 'Denies a request, whoever has approved it so far. A held command is refused with the reason.',
    decision: 'Denied',
  },
  revoke: {
    name: 'revoke',
    summary: 'end an elevation, or take an approval back',
    about: 'Ends an elevation before its time, or takes back an approval that was not used yet.',
    decision: 'Denied',
  },
} as const satisfies Record<string, Verb>

function verb({ name, summary, about, decision }: Verb): CliCommand {
  const reasonNeeded = decision === 'Denied'
  return {
    name,
    summary,
    options: ['config', 'state', 'reason'],
    help: `${about}

Usage: firebreak ${name} NAME ${reasonNeeded ? '--reason TEXT' : '[--reason TEXT]'} (--config DIR | --state DIR)

${whereHelp}
  --reason TEXT     why; the agent and the audit trail see it

Who decides is the user of the system that runs this command. Exit code 0: it counts. 1: it does not, with the reason.`,
    async run(words) {
      const { values, positionals } = parseArgs({
        args: [...words],
        allowPositionals: true,
        options: { ...whereOptions, reason: { type: 'string' } },
      })
      const [request, ...more] = positionals
      if (request === undefined || more.length > 0)
        throw new UsageError(`${name} takes the name of one request`)
      if (reasonNeeded && values.reason === undefined) throw new UsageError(`${name} needs --reason TEXT`)
      const result = await decideRequest(
        requestDirectory(values),
        request.replace(/^approvalrequest\//, ''),
        {
          decision,
          reason: values.reason,
        },
      )
      console.log(resultInWords(result))
      return result.kind === 'refused' || result.kind === 'unread' ? 1 : 0
    },
  }
}

export function resultInWords(result: DecisionResult): string {
  switch (result.kind) {
    case 'refused':
      return `${style('red', 'refused')}: ${result.reason}`
    case 'unread':
      return `${style('yellow', 'written')}, but no runner has read it: it will count when one runs, if it is not too late then`
    case 'noted': {
      const { spec, status } = result.request
      const open = spec.requirements.filter(
        (requirement) => missingVotes(requirement, status?.approvals ?? []) > 0,
      )
      return `${style('yellow', 'noted')}: still to agree: ${inWords(open)}`
    }
    case 'decided': {
      const { metadata, status } = result.request
      if (status?.state === 'Denied') return `${style('red', 'denied')}: ${metadata.name}`
      const until = status?.grantedUntil
      const granted = until === undefined ? '' : `, for ${inTime(Date.parse(until) - Date.now())}`
      return `${style('green', 'approved')}: ${metadata.name}${granted}`
    }
  }
}

export const approve = verb(verbs.approve)
export const deny = verb(verbs.deny)
export const revoke = verb(verbs.revoke)

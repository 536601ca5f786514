/** `kubectl firebreak approve`, `deny` and `revoke`. */
import { parseArgs } from 'node:util'
import { resultInWords, type Verb, verbs } from '../approvals/decide.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { inPlace, placeHelp, placeOptions } from './place.ts'
import { decide, requestNamed } from './requests.ts'

const options = { ...placeOptions, reason: { type: 'string' } } as const

function command({ name, summary, about, decision }: Verb): CliCommand {
  const reasonNeeded = decision === 'Denied'
  return {
    name,
    summary,
    options: Object.keys(options),
    help: `${about}

Usage: kubectl firebreak ${name} NAME ${reasonNeeded ? '--reason TEXT' : '[--reason TEXT]'} [-n NS]

  --reason TEXT           why; the agent and the audit trail see it
${placeHelp}

Who decides is whom the API server knows by the kubeconfig. Exit code 0: it counts. 1: it does not, with the reason.`,
    async run(words) {
      const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
      const [request, ...more] = positionals
      const { reason } = values
      if (request === undefined || more.length > 0)
        throw new UsageError(`${name} takes the name of one request`)
      if (reasonNeeded && reason === undefined) throw new UsageError(`${name} needs --reason TEXT`)
      return await inPlace(values, async (place) => {
        const seen = await requestNamed(place, request)
        const result = await decide(place.client, seen, { decision, reason })
        console.log(resultInWords(result))
        return result.kind === 'refused' ? 1 : 0
      })
    },
  }
}

export const approve = command(verbs.approve)
export const deny = command(verbs.deny)
export const revoke = command(verbs.revoke)

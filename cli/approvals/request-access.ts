/** `request-access`: more rights for a while, asked of the sidecar by whoever it proves the caller to be. */
import { parseArgs } from 'node:util'
import { grantsInWords, inTime } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from '../command.ts'
import { apiHelp, apiOptions, ask } from '../delegation/client.ts'
import { style } from '../output.ts'
import { printable } from './text.ts'

const list = { type: 'string', multiple: true } as const

const options = {
  ...apiOptions,
  resource: { type: 'string' },
  role: { type: 'string' },
  actions: list,
  objects: list,
  for: { type: 'string' },
  reason: { type: 'string' },
  'break-glass': { type: 'boolean' },
  json: { type: 'boolean' },
} as const

interface AccessAnswer {
  readonly name: string
  readonly elevation: { readonly role?: string; readonly actions?: string[]; readonly objects?: string[] }
  readonly state: string
  readonly expiresAt: string
  readonly grantedUntil?: string
}

export const requestAccess: CliCommand = {
  name: 'request-access',
  summary: 'ask for a role or actions for a while',
  options: Object.keys(options),
  help: `Asks for more rights for a while, within what a policy offers (spec.elevations). People decide; live sessions have the
rights at once, and lose them at the end by themselves.

Usage: firebreak request-access --resource R [--role ROLE] [--actions A,B] [--objects O]… --for 30m --reason TEXT
       [--break-glass] [--json]

  --resource R      what the rights are on
  --role ROLE       a further role; or a role that the agent has, for whose sessions the actions are
  --actions A,B     actions, as sql:delete; may be repeated
  --objects O       what they are on, as public.carts; may be repeated (default: all that the policy offers)
  --for 30m         how long, from the approval on
  --reason TEXT     why; approvers and the audit trail see it
  --break-glass     for an emergency: granted at once where a policy has it, and as loud as can be
  --json            the whole answer
${apiHelp}

Exit code 0: it is asked or granted. 1: refused, with what may be asked for.`,
  async run(words) {
    const { values } = parseArgs({ args: [...words], options })
    const { resource, role, objects, reason, 'break-glass': breakGlass } = values
    const actions = values.actions?.flatMap((item) => item.split(','))
    for (const needed of ['resource', 'for', 'reason'] as const)
      if (values[needed] === undefined) throw new UsageError(`request-access needs --${needed}`)
    if (role === undefined && actions === undefined)
      throw new UsageError('request-access needs --role or --actions')
    const answer = (await ask(values, 'POST', '/v1/elevations', {
      resource,
      for: values.for,
      reason,
      ...(role !== undefined && { role }),
      ...(actions && { actions }),
      ...(objects && { objects }),
      ...(breakGlass && { breakGlass }),
    })) as AccessAnswer
    if (values.json) console.log(JSON.stringify(answer, undefined, 2))
    else console.log(inWords(answer))
    return 0
  },
}

function inWords({ name, elevation, expiresAt, grantedUntil }: AccessAnswer): string {
  const what = printable(grantsInWords(elevation))
  const left = (until: string): string => inTime(Date.parse(until) - Date.now())
  return grantedUntil === undefined
    ? `${style('yellow', 'asked')}: ${what}, as approvalrequest/${name} (expires in ${left(expiresAt)})`
    : `${style('green', 'granted')}: ${what}, for ${left(grantedUntil)}, as approvalrequest/${name}`
}

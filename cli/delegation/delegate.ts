/** `delegate`, `delegations` and `revoke-delegation`: what a parent asks its sidecar. */
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { inTime } from '@firebreak/sidecar'
import { printable } from '../approvals/text.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { style, styleError } from '../output.ts'
import { apiHelp, apiOptions, ask } from './client.ts'

interface Delegation {
  readonly id: string
  readonly chain: readonly string[]
  readonly scope: Readonly<Record<string, unknown>>
  readonly expiresAt: string
}

const lists = { resource: 'resources', role: 'roles', actions: 'actions', objects: 'objects' } as const
const limits = {
  'max-rows': 'rowsPerCommand',
  'max-rows-per-hour': 'rowsPerHour',
  'max-bytes': 'bytesPerCommand',
  'max-bytes-per-hour': 'bytesPerHour',
  'max-commands-per-minute': 'commandsPerMinute',
} as const
const listOption = { type: 'string', multiple: true } as const
const textOption = { type: 'string' } as const

const options = {
  ...apiOptions,
  to: textOption,
  resource: listOption,
  role: listOption,
  actions: listOption,
  objects: listOption,
  'max-rows': textOption,
  'max-rows-per-hour': textOption,
  'max-bytes': textOption,
  'max-bytes-per-hour': textOption,
  'max-commands-per-minute': textOption,
  'max-duration': textOption,
  for: textOption,
  user: textOption,
  json: { type: 'boolean' },
} as const

export const delegate: CliCommand = {
  name: 'delegate',
  summary: 'get a token for a child agent, for less than the parent may',
  options: Object.keys(options),
  help: `Asks the sidecar for a child's token. The child presents it where a token goes (as the password), and may do what
the parent may, and the child's own policies let it, and the options below leave: never more.

Usage: firebreak delegate --to NAME [--resource R]… [--role R]… [--actions A]… [--objects O]… [--max-rows N]
       [--for 10m] [--user USER] [--json]

  --to NAME         AgentIdentity of the child
  --resource R      only this resource; may be repeated like the three that follow, or given as R,R
  --role R          only this role
  --actions A       only these actions, as sql:select or sql:*
  --objects O       only these objects, as public.orders or "public.*"
  --max-rows N      rows of one command; --max-rows-per-hour N of all together
  --max-bytes N     bytes of one command; --max-bytes-per-hour N of all together
  --max-commands-per-minute N, --max-duration 30s
                    how often, and how long one may run
  --for 10m         how long (default: 10m, or as long as the parent has)
  --user USER       user of this system that the child runs as: nobody else can use the token, and the child can't
                    pass for its parents (Linux, through loopback)
  --json            the whole answer; otherwise the token stands alone on standard output
${apiHelp}

Exit code 0: the token is written. 1: refused, with what is too much.`,
  async run(words) {
    const { values } = parseArgs({ args: [...words], options })
    if (values.to === undefined) throw new UsageError('delegate needs --to NAME')
    const answer = (await ask(values, 'POST', '/v1/delegations', {
      to: values.to,
      ...Object.fromEntries(
        Object.entries(lists).flatMap(([option, name]) => {
          const items = values[option as keyof typeof lists]?.flatMap((item) =>
            // names of objects may hold commas
            name === 'objects' ? [item] : item.split(','),
          )
          return items ? [[name, items]] : []
        }),
      ),
      ...limitsIn(values),
      ...(values.for !== undefined && { for: values.for }),
      ...(values.user !== undefined && { user: uidOf(values.user) }),
    })) as Delegation & { readonly token: string }
    if (values.json) {
      console.log(JSON.stringify(answer, undefined, 2))
      return 0
    }
    console.error(`${styleError('green', 'delegated')}: ${line(answer)}`)
    console.error(`its user name is ROLE@${values.to}, its password the token`)
    console.log(answer.token)
    return 0
  },
}

export const delegations: CliCommand = {
  name: 'delegations',
  summary: 'list what the parent, or its children, have passed on',
  options: [...Object.keys(apiOptions), 'json'],
  help: `Lists the delegations of whoever asks, and those that were made from them.

Usage: firebreak delegations [--json]

${apiHelp}`,
  async run(words) {
    const { values } = parseArgs({ args: [...words], options: { ...apiOptions, json: { type: 'boolean' } } })
    const answer = (await ask(values, 'GET', '/v1/delegations')) as { delegations: readonly Delegation[] }
    if (values.json) console.log(JSON.stringify(answer, undefined, 2))
    else for (const delegation of answer.delegations) console.log(line(delegation))
    return 0
  },
}

export const revokeDelegation: CliCommand = {
  name: 'revoke-delegation',
  summary: 'end a delegation, with all below it and their sessions',
  options: Object.keys(apiOptions),
  help: `Ends a delegation and all that were made from it: their tokens are refused, their sessions end at once.

Usage: firebreak revoke-delegation ID

${apiHelp}

To end all that an agent has passed on, whoever it is: set spec.suspend of its AgentIdentity.
Exit code 0: ended. 1: there is none of that ID below whoever asks.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      options: apiOptions,
      allowPositionals: true,
    })
    const [id, ...more] = positionals
    if (id === undefined || more.length > 0) throw new UsageError('revoke-delegation takes one ID')
    await ask(values, 'DELETE', `/v1/delegations/${encodeURIComponent(id)}`)
    console.log(`${style('red', 'revoked')}: ${id}`)
    return 0
  },
}

/** @throws UsageError when the system has no such user. */
function uidOf(user: string): number {
  if (/^[0-9]{1,10}$/.test(user)) return Number(user)
  try {
    return Number(
      execFileSync('id', ['-u', '--', user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    )
  } catch {
    throw new UsageError(`this system has no user ${user}`)
  }
}

function limitsIn(values: Partial<Record<keyof typeof limits | 'max-duration', string>>): {
  readonly limits?: Readonly<Record<string, number | string>>
} {
  const counts = Object.entries(limits).flatMap(([option, name]): [string, number | string][] => {
    const text = values[option as keyof typeof limits]
    if (text === undefined) return []
    if (!/^[1-9][0-9]{0,14}$/.test(text))
      throw new UsageError(`--${option} takes a number above 0, not ${text}`)
    return [[name, Number(text)]]
  })
  const duration = values['max-duration']
  const all = duration === undefined ? counts : [...counts, ['commandDuration', duration] as const]
  return all.length > 0 ? { limits: Object.fromEntries(all) } : {}
}

/** `8f0c…  orchestrator → planner  actions sql:select  9m`. */
function line({ id, chain, scope, expiresAt }: Delegation): string {
  const names = chain.map((identity) => identity.slice(identity.indexOf('/') + 1)).join(' → ')
  const parts = Object.entries(scope).map(([name, value]) =>
    Array.isArray(value) ? `${name} ${value.join(', ')}` : `${name} ${JSON.stringify(value)}`,
  )
  const all = parts.length > 0 ? parts : ['all that the chain has']
  return printable([id, names, ...all, inTime(Date.parse(expiresAt) - Date.now())].join('  '))
}

/** `approvals`: what waits, once or as a live list to act on. */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { findRequest } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from '../command.ts'
import { requestDirectory, whereHelp, whereOptions } from './directory.ts'
import { showRequests, watchRequests } from './live.ts'
import { inDirectory } from './requests.ts'
import { details } from './show.ts'

export const approvals: CliCommand = {
  name: 'approvals',
  summary: 'show what waits for approval, and act on it',
  options: ['config', 'state', 'watch', 'all', 'json'],
  help: `Shows the requests that wait, and the elevations in force.

Usage: firebreak approvals [NAME] [--watch] [--all] [--json] (--config DIR | --state DIR)

  NAME              show all of one request
${whereHelp}
  --watch           a live list; on a terminal: a approves, d denies, enter shows all, q quits
  --all             finished requests as well
  --json            the objects themselves; with --watch one line each time one changes

Exit code 0. 1: there is no such request, or the directory can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        ...whereOptions,
        watch: { type: 'boolean' },
        all: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    })
    const [name, ...more] = positionals
    if (more.length > 0 || (name !== undefined && values.watch))
      throw new UsageError('approvals takes one name at most, and none with --watch')
    const directory = requestDirectory(values)
    if (!existsSync(directory))
      throw new Error(
        `there are no requests in ${directory}: it does not exist. The runner makes it once a policy asks people`,
      )
    if (name !== undefined) return await showOne(directory, name, values.json === true)
    const requests = inDirectory(directory, values.all === true)
    if (values.watch) await watchRequests(requests, values.json === true)
    else if (values.json) console.log(JSON.stringify(await requests.list(), undefined, 2))
    else showRequests(await requests.list())
    return 0
  },
}

async function showOne(directory: string, name: string, json: boolean): Promise<number> {
  const request = await findRequest(directory, name.replace(/^approvalrequest\//, ''))
  if (!request) throw new Error(`there is no request ${name}`)
  if (json) console.log(JSON.stringify(request, undefined, 2))
  else for (const line of details(request, Date.now())) console.log(line)
  return 0
}

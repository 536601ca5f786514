/** `kubectl firebreak approvals`: what waits in the cluster, once or as a live list to act on. */
import { parseArgs } from 'node:util'
import { showRequests, watchRequests } from '../approvals/live.ts'
import { details } from '../approvals/show.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { everywhereHelp, everywhereOptions, inPlace } from './place.ts'
import { inCluster, requestNamed } from './requests.ts'
import { formatOf, listOf, outputHelp, outputOptions, wroteValue } from './show.ts'

const options = {
  ...everywhereOptions,
  ...outputOptions,
  watch: { type: 'boolean', short: 'w' },
  all: { type: 'boolean' },
} as const

export const approvals: CliCommand = {
  name: 'approvals',
  summary: 'show what waits for approval, and act on it',
  options: Object.keys(options),
  help: `Shows the requests that wait, and the elevations in force.

Usage: kubectl firebreak approvals [NAME] [--watch] [--all] [-o json|yaml|wide] [-A | -n NS]

  NAME                    show all of one request: the command, what it does, its estimated effect
  -w, --watch             a live list; on a terminal: a approves, d denies, enter shows all, q quits
  --all                   finished requests as well
${outputHelp}; with --watch json is a line each time one changes
${everywhereHelp}

Exit code 0. 1: there is no such request, or the cluster can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    const [name, ...more] = positionals
    if (more.length > 0 || (name !== undefined && (values.watch || values['all-namespaces'])))
      throw new UsageError('approvals takes one name at most, and none with --watch or --all-namespaces')
    const format = formatOf(values.output)
    if (values.watch && format === 'yaml') throw new UsageError('--watch goes with -o json or wide, not yaml')
    return await inPlace(values, async (place) => {
      if (name !== undefined) {
        const request = await requestNamed(place, name)
        if (!wroteValue(format, request)) for (const line of details(request, Date.now())) console.log(line)
        return 0
      }
      const requests = inCluster(place, values.all === true)
      const columns = { namespaces: values['all-namespaces'] === true, wide: format === 'wide' }
      if (values.watch) await watchRequests(requests, format === 'json', columns)
      else {
        const found = await requests.list()
        if (!wroteValue(format, listOf(found))) showRequests(found, columns)
      }
      return 0
    })
  },
}

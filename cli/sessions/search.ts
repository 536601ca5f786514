import { parseArgs } from 'node:util'
import { printable } from '../approvals/text.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { clockTime } from '../replay/lines.ts'
import { filterHelp, filterOf, filterOptions, limitOf } from './filters.ts'
import { asIndexedHelp, indexHelp, indexOptions, useIndex } from './index/opened.ts'
import { type FoundCommand, foundMarks, searchCommands } from './index/query.ts'
import { openPlace } from './place.ts'
import { readingFor, readingHelp } from './recording.ts'

const options = { ...indexOptions, ...filterOptions } as const

export const search: CliCommand = {
  name: 'search',
  summary: 'search commands and answers',
  options: Object.keys(options),
  help: `Searches the commands of recorded sessions, and their answers as the agents got them: masked. Finds whole words,
in any order: "two words" beside each other, and begin* what begins so.

Usage: firebreak sessions search TEXT… [FILTER]… [--json] [--as-indexed] [--index FILE]
       [--recordings PLACE | --config DIR | --state DIR] [--key FILE]… [--signer KEY]…

${filterHelp}
${asIndexedHelp}
${indexHelp}
${readingHelp}

The first 64 KiB of a command and the first 32 KiB and 1000 rows of an answer can be found.

Exit code 0. 1: nothing was found.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    if (positionals.length === 0) throw new UsageError('search takes words to look for')
    const [filter, limit] = [filterOf(values, positionals.join(' ')), limitOf(values)]
    const reading = readingFor(values)
    await using store = await openPlace(values)
    const found = await useIndex(values, store, reading, (database) =>
      searchCommands(database, filter, limit),
    )
    if (values.json) for (const command of found) console.log(JSON.stringify(asJson(command)))
    else if (found.length === 0) console.log('Nothing was found.')
    else for (const line of found.flatMap(linesOf)) console.log(line)
    return found.length > 0 ? 0 : 1
  },
}

function asJson({ session, number, time, text, response, ...command }: FoundCommand): object {
  const { id, identity, resource, role, startedAt } = session
  return {
    session: id,
    command: number + 1,
    time: new Date(startedAt + time / 1000).toISOString(),
    identity,
    resource,
    role,
    ...command,
    text: withoutMarks(text),
    response: withoutMarks(response),
  }
}

function linesOf({ session, number, time, decision, text, response }: FoundCommand): string[] {
  const at = new Date(session.startedAt + time / 1000).toISOString().slice(0, 19)
  const who = printable(`${session.chain} with ${session.resource}`)
  return [
    `${style('bold', printable(session.id))} #${number + 1}  ${at} (${clockTime(time)})  ${who}  ${printable(decision)}`,
    `    ${highlighted(text)}`,
    ...(response.includes(foundMarks[0]) ? [`    → ${highlighted(response)}`] : []),
  ]
}

/** What was found stands out on a terminal; nothing of it is obeyed there. */
function highlighted(text: string): string {
  const [open, close] = foundMarks
  return text
    .split(open)
    .map((part, index) => {
      const [found = '', ...rest] = index === 0 ? ['', part] : part.split(close)
      return (found === '' ? '' : style(['bold', 'yellow'], printable(found))) + printable(rest.join(''))
    })
    .join('')
}

function withoutMarks(text: string): string {
  return text.replaceAll(foundMarks[0], '').replaceAll(foundMarks[1], '')
}

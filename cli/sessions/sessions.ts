/** `firebreak sessions`: what can be asked about recorded sessions. */
import { type CliCommand, UsageError } from '../command.ts'
import { exportRecording } from './export/export.ts'
import { index } from './index/index.ts'
import { hold, release, remove } from './keep.ts'
import { list } from './list.ts'
import { search } from './search.ts'
import { verify } from './verify.ts'

export const subcommands: Readonly<Record<string, CliCommand>> = {
  list,
  search,
  index,
  export: exportRecording,
  verify,
  hold,
  release,
  delete: remove,
}

export const sessions: CliCommand = {
  name: 'sessions',
  summary: 'look at recorded sessions',
  options: [...new Set(Object.values(subcommands).flatMap(({ options }) => options))],
  help: `Looks at recorded sessions.

Usage: firebreak sessions COMMAND [OPTIONS]

${Object.values(subcommands)
  .map(({ name, summary }) => `  ${name.padEnd(18)}${summary}`)
  .join('\n')}

firebreak sessions COMMAND --help tells more.`,
  subcommands,
  async run([name = '', ...words]) {
    const names = Object.keys(subcommands)
    const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
    if (!subcommand) throw new UsageError(`sessions takes one of ${names.join(', ')}`)
    return await subcommand.run(words)
  },
}

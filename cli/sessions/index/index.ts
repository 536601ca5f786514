import { parseArgs } from 'node:util'
import { type CliCommand, UsageError } from '../../command.ts'
import { openPlace } from '../place.ts'
import { readingFor, readingHelp, readingOptions } from '../recording.ts'
import { openIndex, removeIndex } from './database.ts'
import { bringUpToDate, indexHelp, indexPath } from './opened.ts'

const options = { ...readingOptions, index: { type: 'string' }, rebuild: { type: 'boolean' } } as const

export const index: CliCommand = {
  name: 'index',
  summary: 'make the index for list and search',
  options: Object.keys(options),
  help: `Makes the index that list and search use, or brings it to what is recorded now, as they do themselves. It can be
stopped at any time and goes on where it was. It holds decrypted text, and is for its owner alone (mode 0600).

Usage: firebreak sessions index [--rebuild] [--index FILE] [--recordings PLACE | --config DIR | --state DIR]
       [--key FILE]… [--signer KEY]…

  --rebuild         make it anew
${indexHelp}
${readingHelp}

Exit code 0.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    if (positionals.length > 0) throw new UsageError('index takes no names: it is of all recordings')
    const reading = readingFor(values)
    await using store = await openPlace(values)
    const path = indexPath(values, store)
    if (values.rebuild) removeIndex(path)
    const database = openIndex(path)
    try {
      const { recordings, commands, forgotten } = await bringUpToDate(database, store, reading)
      console.log(
        `${path}: ${recordings} recordings and ${commands} commands indexed, ${forgotten} recordings gone`,
      )
    } finally {
      database.close()
    }
    return 0
  },
}

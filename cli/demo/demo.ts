import { parseArgs } from 'node:util'
import { type CliCommand, UsageError } from '../command.ts'

export const demo: CliCommand = {
  name: 'demo',
  summary: 'see it work on a real PostgreSQL',
  options: ['no-wait', 'port'],
  help: `Starts a real PostgreSQL with a small shop, guards it, and lets an agent try things.

Usage: firebreak demo [--no-wait] [--port PORT]

  --no-wait     end when all is shown, instead of leaving the gateway running
  --port PORT   where the gateway listens (default: 5432, or the next free one)

Exit code 0: every guard held. 1: one did not.`,
  async run(words) {
    const { values } = parseArgs({
      args: [...words],
      options: { 'no-wait': { type: 'boolean' }, port: { type: 'string' } },
    })
    const port = values.port === undefined ? undefined : Number(values.port)
    if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
      throw new UsageError(`--port takes a port, not ${values.port}`)
    const { show } = await import('./show.ts')
    return await show(port, values['no-wait'] === true)
  },
}

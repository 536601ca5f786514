/** `firebreak probe`: what the pods of `kubectl firebreak verify` run. It needs no rights and no files. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type CliCommand, UsageError } from '../command.ts'
import { type Login, tryAll } from './attempts.ts'
import { planOf, planOptions } from './plan.ts'

/** Between rounds, in milliseconds. */
const pause = 500

export const probe: CliCommand = {
  name: 'probe',
  summary: 'try ways out of a pod, for kubectl firebreak verify',
  options: Object.keys(planOptions),
  help: `Tries again and again what it is told to, and writes a line of JSON about each round. The pods that kubectl firebreak
verify makes run it.

Usage: firebreak probe [--listen PORT] [--reach URL]… [--session URL]… [--resolve HOST]…

  --listen PORT     greet whoever connects
  --reach URL       TYPE://HOST:PORT, with tcp or the type of a resource: connect, and see whether anybody answers
  --session URL     TYPE://ROLE@HOST:PORT/DATABASE: log in there as a role, without a password
  --resolve HOST    tell its addresses

It goes on until it is ended, with exit code 0.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: planOptions,
    })
    if (positionals.length > 0) throw new UsageError('probe takes options only')
    const plan = planOf(values)
    const ended = new AbortController()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort())
    if (plan.listen !== undefined) await greet(plan.listen, ended.signal)
    let logins: readonly Login[] = []
    for (let number = 1; !ended.signal.aborted; number++) {
      const round = await tryAll(plan, number, logins)
      logins = round.logins
      console.log(JSON.stringify(round))
      await delay(pause, undefined, { signal: ended.signal }).catch(() => {})
    }
    return 0
  },
}

async function greet(port: number, until: AbortSignal): Promise<void> {
  const server = createServer((socket) => socket.on('error', () => {}).end('firebreak\n')).listen(port)
  await once(server, 'listening')
  until.addEventListener('abort', () => server.close())
}

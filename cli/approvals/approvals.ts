/** `approvals`: what waits, once or as a live list to act on. */
import { existsSync, watch } from 'node:fs'
import { emitKeypressEvents } from 'node:readline'
import { parseArgs } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import { decideRequest, findRequest, isFinished, listRequests } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from '../command.ts'
import { resultInWords } from './decide.ts'
import { requestDirectory, whereHelp, whereOptions } from './directory.ts'
import { type Action, emptyScreen, press, render, type Screen, withRequests } from './screen.ts'
import { details, table } from './show.ts'

/** Where no terminal says how wide it is. */
const defaultWidth = 160

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
    const list = async (): Promise<readonly ApprovalRequest[]> =>
      (await listRequests(directory)).filter((request) => values.all || !isFinished(request))
    if (!values.watch) {
      const requests = await list()
      if (values.json) console.log(JSON.stringify(requests, undefined, 2))
      else if (requests.length === 0) console.log('Nothing waits for approval.')
      else
        for (const line of table(requests, process.stdout.columns ?? defaultWidth, Date.now()))
          console.log(line)
      return 0
    }
    if (process.stdin.isTTY && process.stdout.isTTY && !values.json) await live(directory, list)
    else await follow(directory, list, values.json === true)
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

type List = () => Promise<readonly ApprovalRequest[]>

/** A line for each request that is new or has changed, until the reader is gone. */
async function follow(directory: string, list: List, json: boolean): Promise<void> {
  const known = new Map<string, string>()
  const show = async (): Promise<void> => {
    for (const request of await list()) {
      const text = JSON.stringify(request)
      if (known.get(request.metadata.name) === text) continue
      known.set(request.metadata.name, text)
      console.log(json ? text : table([request], defaultWidth, Date.now())[1])
    }
  }
  await untilDone(directory, show, new AbortController())
}

async function live(directory: string, list: List): Promise<void> {
  const { stdin, stdout } = process
  const done = new AbortController()
  let screen: Screen = emptyScreen
  const draw = (): void => {
    const lines = render(screen, stdout.columns, stdout.rows, Date.now())
    stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`)
  }
  const show = async (): Promise<void> => {
    screen = withRequests(screen, await list())
    draw()
  }
  const act = async (action: Action): Promise<void> => {
    if (action.kind !== 'decide') return
    const { name, ...decision } = action
    const result = await decideRequest(directory, name, decision).catch((error: Error) => error.message)
    screen = { ...screen, message: `${name}: ${typeof result === 'string' ? result : resultInWords(result)}` }
    await show()
  }
  const pressed = (
    character: string | undefined,
    key: { name?: string; ctrl?: boolean; sequence?: string },
  ): void => {
    const name = key.ctrl ? `ctrl-${key.name}` : named(character, key.name)
    const { screen: after, action } = press(screen, name)
    screen = after
    if (action.kind === 'quit') done.abort()
    else void act(action)
    draw()
  }
  emitKeypressEvents(stdin)
  stdin.setRawMode(true).resume().on('keypress', pressed)
  // the alternate screen, without a cursor: what was there before comes back at the end
  stdout.write('\x1b[?1049h\x1b[?25l')
  try {
    await untilDone(directory, show, done)
  } finally {
    stdout.write('\x1b[?25h\x1b[?1049l')
    stdin.setRawMode(false).pause().off('keypress', pressed)
  }
}

/** Printable characters stand for themselves, whatever name `readline` has for them. */
function named(character: string | undefined, name: string | undefined): string {
  return character !== undefined && /^[^\p{C}]$/u.test(character) ? character : (name ?? '')
}

/** Calls back now, whenever the directory changes, and every second for the time that is left. */
async function untilDone(directory: string, show: () => Promise<void>, done: AbortController): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  done.signal.addEventListener('abort', () => resolve(), { once: true })
  process.once('SIGINT', () => done.abort())
  process.stdout.once('error', () => done.abort())
  const again = (): void => void show().catch(reject)
  const watcher = watch(directory, again)
  const timer = setInterval(again, 1_000)
  again()
  try {
    await promise
  } finally {
    watcher.close()
    clearInterval(timer)
  }
}

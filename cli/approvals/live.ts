/** Requests as they are now, or as a live list to act on. */
import { emitKeypressEvents } from 'node:readline'
import { stripVTControlCharacters } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import { resultInWords } from './decide.ts'
import { keyOf, type Requests } from './requests.ts'
import { type Action, emptyScreen, press, render, type Screen, withRequests } from './screen.ts'
import { type TableColumns, table } from './show.ts'
import { printable } from './text.ts'

/** Where no terminal says how wide it is. */
const defaultWidth = 160

export function showRequests(requests: readonly ApprovalRequest[], columns: TableColumns = {}): void {
  if (requests.length === 0) return console.log('Nothing waits for approval.')
  const width = columns.wide ? Number.POSITIVE_INFINITY : (process.stdout.columns ?? defaultWidth)
  for (const line of table(requests, width, Date.now(), columns)) console.log(line)
}

/** On a terminal a list to act on, else a line for each change. */
export async function watchRequests(
  requests: Requests,
  json: boolean,
  columns: TableColumns = {},
): Promise<void> {
  if (process.stdin.isTTY && process.stdout.isTTY && !json) await live(requests, columns)
  else await follow(requests, json, columns)
}

/** A line for each request that is new or has changed, until the reader is gone. */
async function follow(requests: Requests, json: boolean, columns: TableColumns): Promise<void> {
  const known = new Map<string, string>()
  const show = async (): Promise<void> => {
    for (const request of await requests.list()) {
      const text = JSON.stringify(request)
      if (known.get(keyOf(request)) === text) continue
      known.set(keyOf(request), text)
      console.log(json ? text : table([request], defaultWidth, Date.now(), columns)[1])
    }
  }
  await untilDone(requests, show, new AbortController())
}

async function live(requests: Requests, columns: TableColumns): Promise<void> {
  const { stdin, stdout } = process
  const done = new AbortController()
  let screen: Screen = emptyScreen
  const draw = (): void => {
    const lines = render(screen, stdout.columns, stdout.rows, Date.now(), columns)
    stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`)
  }
  const show = async (): Promise<void> => {
    screen = withRequests(screen, await requests.list())
    draw()
  }
  const act = async (action: Action): Promise<void> => {
    if (action.kind !== 'decide') return
    const { request, decision, reason } = action
    const result = await requests
      .decide(request, { decision, reason })
      .then(resultInWords, (error: Error) => error.message)
    screen = {
      ...screen,
      message: `${request.metadata.name}: ${printable(stripVTControlCharacters(result))}`,
    }
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
    await untilDone(requests, show, done)
  } finally {
    stdout.write('\x1b[?25h\x1b[?1049l')
    stdin.setRawMode(false).pause().off('keypress', pressed)
  }
}

/** Printable characters stand for themselves, whatever name `readline` has for them. */
function named(character: string | undefined, name: string | undefined): string {
  return character !== undefined && /^[^\p{C}]$/u.test(character) ? character : (name ?? '')
}

/** Calls back now, whenever requests change, and every second for the time that is left. */
async function untilDone(
  requests: Requests,
  show: () => Promise<void>,
  done: AbortController,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  done.signal.addEventListener('abort', () => resolve(), { once: true })
  process.once('SIGINT', () => done.abort())
  process.stdout.once('error', () => done.abort())
  const again = (): void => void show().catch(reject)
  using _watch = requests.watch(again, reject)
  const timer = setInterval(again, 1_000)
  again()
  try {
    await promise
  } finally {
    clearInterval(timer)
  }
}

/** The live list, as pure state: what is shown, and what keys do. */
import type { ApprovalRequest } from '@firebreak/crds'
import { keyOf } from './requests.ts'
import { details, type TableColumns, table } from './show.ts'
import { clip, printable } from './text.ts'

export interface Screen {
  readonly requests: readonly ApprovalRequest[]
  /** The one that the cursor is on, as `namespace/name`. */
  readonly selected: string | undefined
  /** Whether the selected one is shown whole, and how many of its lines are scrolled away. */
  readonly whole: { readonly skipped: number } | undefined
  /** The reason of a denial, as far as it is typed. */
  readonly typing: string | undefined
  readonly message: string
}

export type Action =
  | { readonly kind: 'none' }
  | { readonly kind: 'quit' }
  | {
      readonly kind: 'decide'
      /** As it was shown. */
      readonly request: ApprovalRequest
      readonly decision: 'Approved' | 'Denied'
      readonly reason?: string
    }

export const emptyScreen: Screen = {
  requests: [],
  selected: undefined,
  whole: undefined,
  typing: undefined,
  message: '',
}

/** The list has changed: the cursor stays on its request, or goes to the one that took its place. */
export function withRequests(screen: Screen, requests: readonly ApprovalRequest[]): Screen {
  const keys = requests.map(keyOf)
  if (screen.selected !== undefined && keys.includes(screen.selected)) return { ...screen, requests }
  const before = screen.requests.findIndex((request) => keyOf(request) === screen.selected)
  const selected = keys[Math.min(Math.max(0, before), keys.length - 1)]
  // what is being typed or read was about another request
  return { ...screen, requests, selected, whole: undefined, typing: undefined }
}

/** @param key as `readline` names it, or the character that was typed. */
export function press(screen: Screen, key: string): { readonly screen: Screen; readonly action: Action } {
  const stay = (changes: Partial<Screen> = {}): ReturnType<typeof press> => ({
    screen: { ...screen, message: '', ...changes },
    action: { kind: 'none' },
  })
  const { typing } = screen
  const selected = screen.requests.find((request) => keyOf(request) === screen.selected)
  if (key === 'ctrl-c') return { screen, action: { kind: 'quit' } }
  if (typing !== undefined && selected !== undefined) return pressWhileTyping(screen, typing, selected, key)
  switch (key) {
    case 'q':
      return { screen, action: { kind: 'quit' } }
    case 'up':
    case 'k':
      return stay(moved(screen, -1))
    case 'down':
    case 'j':
      return stay(moved(screen, 1))
    case 'return':
      return stay({ whole: screen.whole || selected === undefined ? undefined : { skipped: 0 } })
    case 'escape':
      return stay({ whole: undefined })
    case 'a':
      if (selected === undefined) return stay()
      // nobody approves what they have not had before their eyes
      if (!screen.whole) return stay({ whole: { skipped: 0 }, message: 'a again approves it' })
      return {
        screen: { ...screen, message: '' },
        action: { kind: 'decide', request: selected, decision: 'Approved' },
      }
    case 'd':
      return selected === undefined ? stay() : stay({ typing: '' })
    default:
      return stay()
  }
}

function pressWhileTyping(
  screen: Screen,
  typing: string,
  selected: ApprovalRequest,
  key: string,
): { readonly screen: Screen; readonly action: Action } {
  const none: Action = { kind: 'none' }
  if (key === 'escape') return { screen: { ...screen, typing: undefined }, action: none }
  if (key === 'backspace')
    return { screen: { ...screen, typing: [...typing].slice(0, -1).join('') }, action: none }
  if (key === 'return') {
    if (typing.trim() === '')
      return { screen: { ...screen, message: 'a denial needs a reason' }, action: none }
    const action: Action = { kind: 'decide', request: selected, decision: 'Denied', reason: typing.trim() }
    return { screen: { ...screen, typing: undefined, message: '' }, action }
  }
  const typed = key === 'space' ? ' ' : [...key].length === 1 ? key : ''
  return { screen: { ...screen, typing: typing + typed }, action: none }
}

function moved({ requests, selected, whole }: Screen, by: 1 | -1): Partial<Screen> {
  if (whole) return { whole: { skipped: Math.max(0, whole.skipped + by) } }
  const index = requests.findIndex((request) => keyOf(request) === selected)
  const next = requests[Math.min(Math.max(0, index + by), requests.length - 1)]
  return { selected: next && keyOf(next) }
}

/** The lines of the screen; the one under the cursor begins with `>`. */
export function render(
  screen: Screen,
  width: number,
  height: number,
  now: number,
  columns: TableColumns = {},
): string[] {
  const { requests, selected, whole, typing, message } = screen
  const shown = requests.find((request) => keyOf(request) === selected)
  const footer =
    typing !== undefined
      ? `reason of the denial of ${selected}: ${printable(typing)}_`
      : message !== ''
        ? message
        : 'a approve   d deny   enter show all   ↑ ↓ move   q quit'
  const room = Math.max(1, height - 2)
  const body =
    whole && shown
      ? wrapped(details(shown, now), width).slice(whole.skipped)
      : listed(screen, width, room, now, columns)
  return [
    ...body.slice(0, room),
    ...Array<string>(Math.max(0, room - body.length)).fill(''),
    '',
    clip(footer, width),
  ]
}

function listed(
  { requests, selected }: Screen,
  width: number,
  room: number,
  now: number,
  columns: TableColumns,
): string[] {
  if (requests.length === 0) return ['Nothing waits for approval.']
  const [heading = '', ...rows] = table(requests, width - 2, now, columns)
  const index = requests.findIndex((request) => keyOf(request) === selected)
  const first = Math.max(0, Math.min(index - room + 2, rows.length - room + 1))
  const lines = rows.map((row, position) => `${position === index ? '>' : ' '} ${row}`)
  return [`  ${heading}`, ...lines.slice(first)].map((line) => clip(line, width))
}

/** Nothing of a command may be out of sight to the right. */
function wrapped(lines: readonly string[], width: number): string[] {
  return lines.flatMap((line) => {
    const characters = [...line]
    const pieces: string[] = []
    do pieces.push(characters.splice(0, Math.max(20, width)).join(''))
    while (characters.length > 0)
    return pieces
  })
}

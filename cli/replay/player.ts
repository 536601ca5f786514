/** Plays a session on a terminal, and does what keys say. */
import { emitKeypressEvents } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { From, RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import type { Extent } from '@firebreak/sidecar/recording/transcript/results.ts'
import { style } from '../output.ts'
import { linesOf } from './lines.ts'
import { Pace } from './pace.ts'
import { stepsFrom } from './steps.ts'

export const keysHelp =
  'space pauses and goes on, n next command, b the one before, 12 and enter: command 12, + and - speed, q quits'

/** Longest wait of a timer; longer ones are waited for again. In milliseconds. */
const longestTimer = 1_000_000_000

type Key = { readonly name?: string; readonly ctrl?: boolean; readonly sequence?: string }

export async function play(
  reader: RecordingReader,
  extent: Extent,
  begin: From | undefined,
  speed: number,
): Promise<void> {
  const { stdin, stdout } = process
  const { commands } = await reader.extent()
  const pace = new Pace({
    speed,
    now: () => performance.now(),
    sleep: (milliseconds, signal) =>
      delay(Math.min(milliseconds, longestTimer), undefined, { signal }).catch(() => {}),
  })
  let from = begin
  let turn = new AbortController()
  let shown = -1
  let typed = ''
  let over = false
  const jump = (command: number): void => {
    if (pace.paused) pace.step()
    from = { command: Math.min(Math.max(0, command), commands - 1) }
    turn.abort()
  }
  const pressed = (_: string | undefined, { name, ctrl, sequence = '' }: Key): void => {
    if (/^\d$/.test(sequence)) {
      typed += sequence
      return
    }
    if (name === 'return' && typed !== '') jump(Number(typed) - 1)
    typed = ''
    if (name === 'q' || (ctrl && name === 'c')) {
      over = true
      turn.abort()
    } else if (name === 'space') {
      pace.toggle()
      if (pace.paused) stdout.write(`${style('dim', `paused: ${keysHelp}`)}\n`)
    } else if (name === 'n' || name === 'right') pace.step()
    else if (name === 'b' || name === 'left') {
      pace.paused = true
      jump(shown - 1)
    } else if (sequence === '+') pace.scale(2)
    else if (sequence === '-') pace.scale(0.5)
  }
  emitKeypressEvents(stdin)
  stdin.setRawMode(true).resume().on('keypress', pressed)
  try {
    while (!over) {
      const { signal } = turn
      let first = true
      for await (const step of stepsFrom(reader, extent, from)) {
        if (first && from) pace.start(step.time)
        else if (first) pace.start(0)
        first = false
        await pace.due(step, signal)
        if (signal.aborted) break
        if (step.kind === 'command') shown = step.number
        stdout.write(`${linesOf(step, stdout.columns).join('\n')}\n`)
      }
      if (!signal.aborted) return
      turn = new AbortController()
    }
  } finally {
    stdin.setRawMode(false).pause().off('keypress', pressed)
  }
}

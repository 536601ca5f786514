import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export type AuditLine = Readonly<Record<string, unknown>>

/** The event of the lines that are meant, or what is so of them. */
export type Meant = string | ((line: AuditLine) => boolean)

/** All lines are meant. */
export const anyEvent = (): boolean => true

const patience = 40_000
const stillness = 30

/**
 * Lines are written in the background, a moment after the answer, which is longer on a busy machine.
 * @returns the lines that are meant, once there are at least so many of them and no more of any come.
 */
export async function auditLinesIn(path: string, meant: Meant, least: number): Promise<readonly AuditLine[]> {
  const isMeant = typeof meant === 'string' ? ({ event }: AuditLine) => event === meant : meant
  const until = performance.now() + patience
  for (let before = ''; ; ) {
    await delay(stillness)
    const text = readFileSync(path, 'utf8')
    const found = linesOf(text).filter(isMeant)
    if (found.length >= least && text === before) return found
    if (performance.now() > until)
      assert.fail(`of ${least} audit lines (${String(meant)}) there are ${found.length} in\n${text}`)
    before = text
  }
}

/** The last one may be half there. */
function linesOf(text: string): readonly AuditLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditLine)
}

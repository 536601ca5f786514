/** Tables as lines of a terminal. Nothing in them is obeyed by it. */
import type { Result } from '@firebreak/sidecar/recording/transcript/results.ts'
import { clip, printable } from '../approvals/text.ts'
import { style } from '../output.ts'

/** Narrower columns can't be read. */
const narrowest = 8

/** Which columns masks were for, and whether what they hid is shown. */
export interface Masked {
  readonly labels: ReadonlySet<string>
  readonly note: 'masked' | 'unmasked'
}

/**
 * @param masked columns say so.
 * @param width of the terminal; values are clipped to fit.
 */
export function table(
  { columns, rows }: Result,
  labels: readonly string[],
  masked: Masked,
  width: number,
): string[] {
  const count = Math.max(columns?.length ?? 0, ...rows.map((row) => row.length))
  if (count === 0) return []
  const names = columns ?? (labels.length === count ? labels : [])
  const isMasked = Array.from({ length: count }, (_, index) => masked.labels.has(names[index] ?? ''))
  const heads = isMasked.map((hidden, index) =>
    printable(names[index] ?? `column ${index + 1}`).concat(hidden ? ` (${masked.note})` : ''),
  )
  const cells = rows.map((row) =>
    heads.map((_, index) => (row[index] == null ? 'NULL' : printable(row[index]))),
  )
  const widths = fit(
    heads.map((head, index) =>
      cells.reduce((most, row) => Math.max(most, lengthOf(row[index] ?? '')), lengthOf(head)),
    ),
    width,
  )
  const line = (values: readonly string[], paint: (text: string, index: number) => string): string =>
    values
      .map((value, index) => {
        const clipped = clip(value, widths[index] ?? 0)
        return paint(clipped, index) + ' '.repeat((widths[index] ?? 0) - lengthOf(clipped))
      })
      .join(' │ ')
      .trimEnd()
  return [
    line(heads, (text, index) => style(isMasked[index] ? ['bold', 'magenta'] : 'bold', text)),
    widths.map((columnWidth) => '─'.repeat(columnWidth)).join('─┼─'),
    ...cells.map((row, number) =>
      line(row, (text, index) =>
        isMasked[index] ? style('magenta', text) : rows[number]?.[index] == null ? style('dim', text) : text,
      ),
    ),
  ]
}

function lengthOf(text: string): number {
  return [...text].length
}

/** Makes the widest columns narrower until all fit, or none can be. */
function fit(wanted: readonly number[], width: number): number[] {
  const widths = [...wanted]
  const room = width - 3 * (widths.length - 1)
  for (let excess = widths.reduce((a, b) => a + b, 0) - room; excess > 0; ) {
    const widest = Math.max(...widths)
    if (widest <= narrowest) break
    const next = Math.max(narrowest, ...widths.filter((one) => one < widest))
    const at = widths.indexOf(widest)
    const less = Math.min(excess, Math.max(1, widest - next))
    widths[at] = widest - less
    excess -= less
  }
  return widths
}

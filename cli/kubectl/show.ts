/** Objects and tables, as kubectl shows them. */
import { stringify } from 'yaml'
import { printable } from '../approvals/text.ts'
import { UsageError } from '../command.ts'

export const outputOptions = { output: { type: 'string', short: 'o' } } as const
export const outputHelp = '  -o, --output FORMAT     json, yaml or wide'

export type Format = 'json' | 'yaml' | 'wide' | 'table'

export function formatOf(text: string | undefined): Format {
  if (text === undefined) return 'table'
  if (text === 'json' || text === 'yaml' || text === 'wide') return text
  throw new UsageError(`--output takes json, yaml or wide, not ${text}`)
}

/** @returns whether the format is one for programs, and the value was written. */
export function wroteValue(format: Format, value: object): boolean {
  if (format === 'json') console.log(JSON.stringify(value, undefined, 2))
  else if (format === 'yaml') console.log(stringify(value).trimEnd())
  else return false
  return true
}

/** Objects as kubectl writes several of them. */
export function listOf(items: readonly object[]): object {
  return { apiVersion: 'v1', kind: 'List', metadata: {}, items }
}

/** @param rows with their heading. */
export function showTable(rows: readonly (readonly string[])[]): void {
  const shown = rows.map((row) => row.map((cell) => printable(cell)))
  const widths =
    shown[0]?.map((_, column) => Math.max(...shown.map((row) => (row[column] ?? '').length))) ?? []
  for (const row of shown)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
}

/** What people see. Colours only on a terminal, and never against NO_COLOR. */
import { styleText } from 'node:util'
import type { ManifestProblem } from '@firebreak/crds'

/** `styleText` looks at the stream and at NO_COLOR by itself. */
export function style(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, text, { stream: process.stdout })
}

/** `orders.yaml:12:7: error: …`, with the line and a caret under the place. */
export function showProblem({ severity, location, object, field, message, source }: ManifestProblem): string {
  const place = `${location.file}:${location.line}:${location.column}`
  const about = [object, field].filter((part) => part !== '').join(' ')
  const caret = `${' '.repeat(Math.max(0, location.column - 1))}^`
  const colour = severity === 'error' ? 'red' : 'yellow'
  const lines = [
    `${style('bold', place)}: ${style(colour, severity)}: ${about === '' ? '' : `${about}: `}${message}`,
  ]
  if (source !== '') lines.push(`    ${source}`, `    ${style(colour, caret)}`)
  return lines.join('\n')
}

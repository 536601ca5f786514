/** What people see. Colours only on a terminal, and never against NO_COLOR. */
import { styleText } from 'node:util'
import type { ManifestProblem } from '@firebreak/crds'

/** @param stream where it goes; `styleText` looks whether that is a terminal, and at NO_COLOR. */
export function style(
  format: Parameters<typeof styleText>[0],
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(format, text, { stream })
}

/** For what goes to standard error. */
export function styleError(format: Parameters<typeof styleText>[0], text: string): string {
  return style(format, text, process.stderr)
}

/** `orders.yaml:12:7: error: …`, with the line and a caret under the place. */
export function showProblem(
  { severity, location, object, field, message, source }: ManifestProblem,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  // a file that can't be read has no lines
  const place = location.line === 0 ? location.file : `${location.file}:${location.line}:${location.column}`
  const about = [object, field].filter((part) => part !== '').join(' ')
  const caret = `${' '.repeat(Math.max(0, location.column - 1))}^`
  const colour = severity === 'error' ? 'red' : 'yellow'
  const lines = [
    `${style('bold', place, stream)}: ${style(colour, severity, stream)}: ${about === '' ? '' : `${about}: `}${message}`,
  ]
  if (source !== '') lines.push(`    ${source}`, `    ${style(colour, caret, stream)}`)
  return lines.join('\n')
}

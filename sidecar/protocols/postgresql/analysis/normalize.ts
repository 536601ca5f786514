import { normalizeSync } from 'libpg-query'
import './parse.ts'

/** The text with its constants replaced by parameters; what can't be parsed shows nothing. */
export function normalizeSql(text: string): string {
  try {
    return normalizeSync(text)
  } catch {
    return ''
  }
}

/** Texts without their constants, for the audit. */
import type { Command } from '@firebreak/policy'
import { scanSync } from 'libpg-query'
import { tooDeep } from './guard.ts'
import './parse.ts'

/** Beyond it the cut into tokens takes more time and memory than a text without constants is worth. In bytes. */
const maximumLength = 100_000

/**
 * The text with its constants replaced by parameters, and without comments: cut by PostgreSQL's own lexer, so that it
 * holds for every kind of statement, EXECUTE and CREATE VIEW too. What can't be cut shows nothing.
 */
export function normalizeSql(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length > maximumLength || bytes.includes(0) || tooDeep(bytes)) return ''
  try {
    const { tokens } = scanSync(text)
    let parameter = 0
    for (const token of tokens)
      if (kindOf(token.text) === 'parameter') parameter = Math.max(parameter, Number(token.text.slice(1)))
    let normalized = ''
    let end = 0
    for (const token of tokens) {
      const kind = kindOf(token.text)
      if (kind === 'comment') continue
      if (normalized !== '' && token.start > end) normalized += ' '
      normalized += kind === 'constant' ? `$${++parameter}` : token.text
      end = token.end
    }
    return normalized
  } catch {
    return ''
  }
}

/** Whether the command is of a kind whose options hold passwords: of roles, user mappings, subscriptions, servers. */
export function mayHoldSecret({ touches }: Command): boolean {
  return touches.some(({ object }) => kindsWithSecrets.has(object.kind))
}

const kindsWithSecrets = new Set(['role', 'user mapping', 'subscription', 'server', 'foreign data wrapper'])

/** What a token is shows in how it begins. PostgreSQL's documentation, 4.1 Lexical Structure. */
function kindOf(token: string): 'constant' | 'parameter' | 'comment' | 'other' {
  if (/^\$[0-9]/.test(token)) return 'parameter'
  if (/^(\$|[0-9]|\.[0-9]|[bexn]?'|u&')/i.test(token)) return 'constant'
  return token.startsWith('--') || token.startsWith('/*') ? 'comment' : 'other'
}

/** The startup packet as a command: its parameters are settings like those of SET. */
import type { Command } from '@firebreak/policy'
import type { Catalogue } from '../catalogue/types.ts'
import { newSession } from './context.ts'
import { Findings } from './findings.ts'
import { setSetting } from './settings.ts'

/** Parameters that are not settings. */
const notSettings = new Set(['user', 'database', 'options', 'replication'])

/** What a client asks for when it connects, to be decided like any command. */
export function analyseStartup(parameters: ReadonlyMap<string, string>, catalogue: Catalogue): Command {
  const findings = new Findings(newSession(catalogue, '', []), catalogue, false)
  findings.kind = 'startup'
  for (const [name, value] of parameters) {
    if (!notSettings.has(name) && !name.startsWith('_pq_.'))
      setSetting(findings, name, [value], 'session', true)
  }
  for (const [name, value] of commandLineSettings(findings, parameters.get('options') ?? ''))
    setSetting(findings, name, [value], 'session', true)
  const replication = parameters.get('replication')
  if (replication !== undefined && !/^(off|false|no|0)$/i.test(replication))
    findings.touch('sql:replicate', 'connection', ['replication'])
  return findings.command([...parameters].map(([name, value]) => `${name}=${value}`).join(' '), [])
}

/** `-c name=value`, `-cname=value` and `--name=value`, with backslashes before spaces, as `pg_split_opts` reads them. */
function commandLineSettings(findings: Findings, options: string): [string, string][] {
  const settings: [string, string][] = []
  const words = splitWords(options)
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? ''
    const text =
      word === '-c'
        ? (words[++index] ?? '')
        : word.startsWith('--')
          ? word.slice(2)
          : word.startsWith('-c')
            ? word.slice(2)
            : undefined
    const equals = text?.indexOf('=') ?? -1
    if (text === undefined || equals < 1) findings.opaque(`the startup option ${word} is not understood`)
    else settings.push([text.slice(0, equals).replaceAll('-', '_'), text.slice(equals + 1)])
  }
  return settings
}

function splitWords(options: string): string[] {
  const words: string[] = []
  let word = ''
  for (let index = 0; index < options.length; index++) {
    const character = options[index] ?? ''
    if (character === '\\') word += options[++index] ?? ''
    else if (/\s/.test(character)) {
      if (word !== '') words.push(word)
      word = ''
    } else word += character
  }
  return word === '' ? words : [...words, word]
}

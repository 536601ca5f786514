/** Settings of a session: which may be changed freely, and which change what later text means. */
import { settingEffect } from '../catalogue/builtins.ts'
import type { Findings } from './findings.ts'

/** Encodings in which no byte of a multi-byte character can be taken for ASCII, so that quotes are where they seem to be. */
const safeEncodings =
  /^(utf-?8|unicode|sql_?ascii|latin-?([1-9]|10)|iso[-_]?8859[-_]?([5-8])|win(dows)?-?(125[0-8]|866|874)|koi8(-?[ru])?|euc_(jp|cn|kr|tw|jis_2004)|mule_internal|default)$/i

export function isSafeEncoding(name: string): boolean {
  return safeEncodings.test(name.trim())
}

/**
 * Changes a setting, by SET, set_config or a startup parameter.
 *
 * @param values as in SET, one per list item; undefined when not known beforehand or DEFAULT.
 * @param quoted the value is one text that the server splits itself, as in set_config.
 */
export function setSetting(
  findings: Findings,
  name: string,
  values: readonly string[] | undefined,
  scope: 'session' | 'transaction',
  quoted: boolean,
): void {
  const lower = name.toLowerCase()
  if (lower === 'role' || lower === 'session_authorization') return setRole(findings, values?.[0])
  const effect = settingEffect(lower)
  findings.touch(
    'sql:set',
    'setting',
    [lower],
    undefined,
    effect === 'guarded' || findings.origin !== 'direct' ? findings.origin : 'baseline',
  )
  if (effect !== 'meaning') return
  const value = values?.join(', ')
  if (lower === 'client_encoding' && value !== undefined && !isSafeEncoding(value)) {
    findings.opaque(`client_encoding ${value} lets quotes hide inside characters`)
  }
  if (lower === 'standard_conforming_strings' && value !== undefined && !/^(on|true|yes|1)$/i.test(value)) {
    findings.opaque('standard_conforming_strings off changes where strings end')
  }
  if (lower === 'search_path')
    findings.effect({
      kind: 'searchPath',
      schemas: values && (quoted ? splitIdentifiers(values[0] ?? '') : values),
      scope,
    })
  else findings.effect({ kind: 'unknown' })
}

export function setRole(findings: Findings, role: string | undefined): void {
  findings.touch('sql:setRole', 'role', [role ?? 'default'])
  findings.effect({ kind: 'unknown' })
}

/** The list that the server reads from a text (`SplitIdentifierString`); undefined when it isn't one we are sure of. */
function splitIdentifiers(text: string): string[] | undefined {
  if (text.trim() === '') return []
  const parts = text.split(',').map((part) => part.trim())
  const plain = parts.every((part) => /^([a-z_][a-z0-9_$]*|"[^",]+")$/i.test(part))
  return plain
    ? parts.map((part) => (part.startsWith('"') ? part.slice(1, -1) : part.toLowerCase()))
    : undefined
}

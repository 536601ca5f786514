/** Settings of a session: which may be changed freely, and which change what later text means. */
import { settingEffect } from '../catalogue/builtins.ts'
import type { Findings } from './findings.ts'

/**
 * Encodings in which no byte of a multi-byte character can be taken for ASCII, so that quotes are where they seem to be.
 * Named as the server knows them: https://www.postgresql.org/docs/current/multibyte.html#MULTIBYTE-CHARSET-SUPPORTED
 */
const safeEncodings: ReadonlySet<string> = new Set([
  ...['utf8', 'unicode', 'sqlascii', 'muleinternal', 'koi8', 'koi8r', 'koi8u', 'win866', 'win874'],
  ...['euccn', 'eucjis2004', 'eucjp', 'euckr', 'euctw', 'windows866', 'windows874'],
  ...['iso88591', 'iso88592', 'iso88593', 'iso88594', 'iso88595', 'iso88596', 'iso88597', 'iso88598'],
  ...['iso88599', 'iso885910', 'iso885913', 'iso885914', 'iso885915', 'iso885916'],
  ...Array.from({ length: 10 }, (_, index) => `latin${index + 1}`),
  ...Array.from({ length: 9 }, (_, index) => [`win125${index}`, `windows125${index}`]).flat(),
])

export function isSafeEncoding(name: string): boolean {
  return safeEncodings.has(normalEncodingName(name))
}

export function isUtf8Encoding(name: string): boolean {
  return ['utf8', 'unicode'].includes(normalEncodingName(name))
}

/** The server looks at nothing but letters and digits of the name: drivers send `utf-8`, `'utf-8'`, `UTF_8`. */
function normalEncodingName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
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

/** YAML as far as its readers agree on it. */
import { parseDocument, type SchemaOptions, visit } from 'yaml'
import type { Result } from '../../../session.ts'
import type { Document } from './document.ts'

/**
 * What is `yes` to the API server, which reads YAML 1.1, is a text in YAML 1.2. What differs, and what few readers
 * treat alike (anchors, merges, tags, several documents), is refused: tools send JSON or write plain YAML.
 */
export function parseYaml(text: string): Result<Document, string> {
  const older = read(text, '1.1')
  if (!older.ok) return older
  const newer = read(text, '1.2')
  if (!newer.ok) return newer
  if (!alike(older.value, newer.value))
    return { ok: false, error: 'it means something else in YAML 1.1 than in YAML 1.2' }
  return newer
}

function read(text: string, version: '1.1' | '1.2'): Result<Document, string> {
  const schema: SchemaOptions['schema'] = version === '1.1' ? 'yaml-1.1' : 'core'
  const document = parseDocument(text, {
    version,
    schema,
    merge: false,
    uniqueKeys: true,
    prettyErrors: false,
  })
  const [problem] = [...document.errors, ...document.warnings]
  if (problem) return { ok: false, error: problem.message }
  let unusual: string | undefined
  visit(document, {
    Alias: () => {
      unusual = 'it has an alias'
      return visit.BREAK
    },
    Node: (_, node) => {
      if (('anchor' in node && node.anchor) || (node.tag !== undefined && !plainTags.has(node.tag))) {
        unusual = 'it has an anchor or a tag'
        return visit.BREAK
      }
      return undefined
    },
    Pair: (_, { key }) => {
      const value = typeof key === 'object' && key !== null && 'value' in key ? key.value : undefined
      if (typeof value === 'string' && value !== '<<') return undefined
      unusual = 'it has a key that is no text'
      return visit.BREAK
    },
  })
  if (unusual !== undefined) return { ok: false, error: unusual }
  return { ok: true, value: toDocument(document.toJS({ mapAsMap: true, maxAliasCount: 0 }) as unknown) }
}

/** Those of what is written without one. */
const plainTags = new Set(['tag:yaml.org,2002:map', 'tag:yaml.org,2002:seq'])

function toDocument(value: unknown): Document {
  if (value instanceof Map)
    return new Map([...value].map(([name, inner]) => [String(name), toDocument(inner as unknown)]))
  if (Array.isArray(value)) return value.map(toDocument)
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  // what is a date or a set in YAML 1.1 is something else in YAML 1.2
  return typeof value === 'number' ? value : String(value)
}

function alike(one: Document, other: Document): boolean {
  if (one instanceof Map)
    return (
      other instanceof Map &&
      one.size === other.size &&
      [...one].every(([name, value]) => other.has(name) && alike(value, other.get(name) ?? null))
    )
  if (Array.isArray(one))
    return (
      Array.isArray(other) &&
      one.length === other.length &&
      one.every((value, index) => alike(value, other[index] ?? null))
    )
  return Object.is(one, other)
}

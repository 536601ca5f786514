/** The parts of a document that was read from JSON or YAML. */

export type Json = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objectAt(parent: Json, name: string): Json {
  const value = Object.hasOwn(parent, name) ? parent[name] : undefined
  return isObject(value) ? value : {}
}

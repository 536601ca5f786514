/** An object of the API as it was sent, or a part of one: the same from JSON as from YAML. */
export type Document = null | boolean | number | string | readonly Document[] | ReadonlyMap<string, Document>

/** @returns what stands below names; undefined where there is nothing. */
export function at(document: Document | undefined, ...names: readonly string[]): Document | undefined {
  let current = document
  for (const name of names) current = current instanceof Map ? current.get(name) : undefined
  return current
}

export function textAt(document: Document | undefined, ...names: readonly string[]): string | undefined {
  const found = at(document, ...names)
  return typeof found === 'string' ? found : undefined
}

/** What is in a list; or in an object, which is how a JSON patch names elements of a list (`/containers/0`). */
export function elementsOf(document: Document | undefined): readonly Document[] {
  if (document instanceof Map) return [...document.values()]
  return Array.isArray(document) ? document : []
}

/** A document in which there is nothing but a value below names. */
export function nested(names: readonly string[], value: Document): Document {
  return names.reduceRight<Document>((inner, name) => new Map([[name, inner]]), value)
}

/** All objects in a document, each before what is in it. What an element costs doesn't depend on how deep it is. */
export function* objectsIn(document: Document | undefined): Generator<ReadonlyMap<string, Document>> {
  const waiting = [document]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next instanceof Map) yield next
    for (const element of elementsOf(next).toReversed())
      if (typeof element === 'object' && element !== null) waiting.push(element)
  }
}

/** The names that lead to each value; those in a list have the names of the list. */
export function* leavesOf(document: Document, names: readonly string[] = []): Generator<readonly string[]> {
  if (document instanceof Map) for (const [name, value] of document) yield* leavesOf(value, [...names, name])
  else if (Array.isArray(document)) for (const value of document) yield* leavesOf(value, names)
  else yield names
}

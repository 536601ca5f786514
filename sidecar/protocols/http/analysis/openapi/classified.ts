/** Which fields of answers carry tags, by `x-firebreak-tags` in the schemas of an OpenAPI document. */
import type { Result } from '../../../../session.ts'
import { isObject, type Json, objectAt } from './nodes.ts'

/** As an entry of `ProtectedResource.spec.classification`. */
export interface ClassifiedField {
  /** `$.customer.email` */
  readonly field: string
  readonly tags: readonly string[]
}

const extension = 'x-firebreak-tags'
const maximumSchemas = 100_000
/** Lists and maps that hold what a document says of itself; deeper is nothing that one reads. */
const maximumDepth = 32

/** @returns why the schemas can't be followed, in words: then fields could be without their tags. */
export function classifiedFields(
  root: Json,
  operations: readonly Json[],
): Result<readonly ClassifiedField[], string> {
  const found = new Map<string, Set<string>>()
  const walk = new Walk(root, found)
  const unknown = (): Result<never, string> => ({ ok: false, error: walk.problem ?? elsewhere })
  for (const operation of operations)
    for (const [status, answer] of Object.entries(objectAt(operation, 'responses'))) {
      if (status.startsWith('x-')) continue
      const response = walk.resolve(answer)
      if (!response) return unknown()
      for (const written of Object.values(objectAt(response, 'content'))) {
        const media = walk.resolve(written)
        if (!media || (media.schema !== undefined && !walk.schema(media.schema, ['$'], []))) return unknown()
      }
    }
  return {
    ok: true,
    value: [...found].map(([field, tags]) => ({ field, tags: [...tags].sort() })),
  }
}

const elsewhere = 'a schema of the OpenAPI document refers to what isn’t in it, or is too deep'

/** As the classification of a resource takes them. */
function isTag(tag: unknown): tag is string {
  return (
    typeof tag === 'string' && tag.length <= 128 && /^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/.test(tag)
  )
}

/** A schema that the walk is in, since so many names of fields. */
interface Entered {
  readonly node: Json
  readonly depth: number
}

class Walk {
  readonly #root: Json
  readonly #found: Map<string, Set<string>>
  readonly #heirs = new Map<Json, readonly Json[]>()
  #left = maximumSchemas
  /** Why a schema can't be gone by, where it is not where it leads to. */
  problem: string | undefined

  constructor(root: Json, found: Map<string, Set<string>>) {
    this.#root = root
    this.#found = found
  }

  /** @returns false where it can't be followed. */
  schema(node: unknown, path: readonly string[], within: readonly Entered[]): boolean {
    if (this.#left-- === 0 || within.length > 4 * maximumDepth || path.length > maximumDepth) return false
    // true and false are schemas that say nothing
    if (typeof node === 'boolean') return true
    if (!isObject(node)) return false
    const before = within.find((entered) => entered.node === node)
    // what stands in itself in the same place says nothing more of it
    if (before) return before.depth === path.length || this.#repeated(node, path)
    const inside = [...within, { node, depth: path.length }]
    if (!this.#tag(node, path) || !this.#isFollowed(node, path)) return false
    if (node.$ref !== undefined && !this.schema(this.#at(node.$ref), path, inside)) return false
    return (
      this.#alternatives(node, path, inside) &&
      this.#kinds(node, path, inside) &&
      this.#properties(node, path, inside)
    )
  }

  /** What a reference stands for, within the document, by however many others. */
  resolve(node: unknown): Json | undefined {
    let target = node
    for (let times = 0; isObject(target) && times < maximumDepth; times++) {
      if (target.$ref === undefined) return target
      target = this.#at(target.$ref)
    }
    return undefined
  }

  #at(reference: unknown): Json | undefined {
    if (typeof reference !== 'string' || !reference.startsWith('#/')) return undefined
    let target: unknown = this.#root
    for (const written of reference.slice(2).split('/')) {
      const name = unescaped(written)
      if (name === undefined || !isObject(target) || !Object.hasOwn(target, name)) return undefined
      target = target[name]
    }
    return isObject(target) ? target : undefined
  }

  /** What a schema is depends on where it is referred to from. */
  #isFollowed(node: Json, path: readonly string[]): boolean {
    const dynamic = ['$dynamicRef', '$recursiveRef'].find((name) => Object.hasOwn(node, name))
    if (dynamic === undefined) return true
    this.problem = `${dynamic} at ${path.join('.')} of the OpenAPI document is not followed: write $ref`
    return false
  }

  /** What else a value may be, by the schemas that its discriminator names and by those that are made of this one. */
  #kinds(node: Json, path: readonly string[], within: readonly Entered[]): boolean {
    const { discriminator } = node
    if (discriminator === undefined) return true
    if (!isObject(discriminator)) return false
    const named = Object.values(objectAt(discriminator, 'mapping')).map((name) =>
      typeof name === 'string' && Object.hasOwn(this.#schemas, name) ? this.#schemas[name] : this.#at(name),
    )
    return [...named, ...this.#heirsOf(node)].every((schema) => this.schema(schema, path, within))
  }

  get #schemas(): Json {
    return objectAt(objectAt(this.#root, 'components'), 'schemas')
  }

  #heirsOf(node: Json): readonly Json[] {
    const known = this.#heirs.get(node)
    if (known) return known
    const heirs = Object.values(this.#schemas)
      .filter(isObject)
      .filter((schema) => schema !== node && this.#isMadeOf(schema, node, new Set()))
    this.#heirs.set(node, heirs)
    return heirs
  }

  #isMadeOf(schema: Json, node: Json, seen: Set<Json>): boolean {
    if (schema === node) return true
    if (seen.has(schema)) return false
    seen.add(schema)
    const parts: unknown[] = Array.isArray(schema.allOf) ? schema.allOf : []
    return [this.#at(schema.$ref), ...parts].some(
      (part) => isObject(part) && this.#isMadeOf(part, node, seen),
    )
  }

  #alternatives(node: Json, path: readonly string[], within: readonly Entered[]): boolean {
    for (const name of ['allOf', 'oneOf', 'anyOf', 'prefixItems']) {
      const schemas = node[name]
      if (schemas === undefined) continue
      if (!Array.isArray(schemas) || !schemas.every((schema) => this.schema(schema, path, within)))
        return false
    }
    for (const schema of Object.values(objectAt(node, 'dependentSchemas')))
      if (!this.schema(schema, path, within)) return false
    // the elements of a list have the path of the list
    for (const name of [
      'items',
      'not',
      'if',
      'then',
      'else',
      'contains',
      'unevaluatedItems',
      'contentSchema',
    ])
      if (node[name] !== undefined && !this.schema(node[name], path, within)) return false
    return true
  }

  #properties(node: Json, path: readonly string[], within: readonly Entered[]): boolean {
    for (const [name, schema] of Object.entries(objectAt(node, 'properties')))
      if (!this.schema(schema, [...path, quoted(name)], within)) return false
    for (const schema of Object.values(objectAt(node, 'patternProperties')))
      if (!this.schema(schema, [...path, '*'], within)) return false
    for (const name of ['additionalProperties', 'unevaluatedProperties'])
      if (node[name] !== undefined && !this.schema(node[name], [...path, '*'], within)) return false
    return true
  }

  /** A schema in itself has no last field: all below carries what anything in it carries. */
  #repeated(node: Json, path: readonly string[]): boolean {
    const tags = new Set<string>()
    collectTags(node, ({ $ref }) => this.#at($ref), tags, new Set())
    if (tags.size > 0) this.#add(path, [...tags])
    return true
  }

  /** A tag that is none would leave unmasked what it stands at. */
  #tag(node: Json, path: readonly string[]): boolean {
    if (!Object.hasOwn(node, extension)) return true
    const tags = node[extension]
    if (Array.isArray(tags) && tags.every(isTag)) {
      this.#add(path, tags)
      return true
    }
    this.problem = `${extension} at ${path.join('.')} of the OpenAPI document is no list of tags, as in [pii/email]`
    return false
  }

  #add(path: readonly string[], tags: readonly string[]): void {
    const field = path.join('.')
    const known = this.#found.get(field) ?? new Set()
    for (const tag of tags) known.add(tag)
    this.#found.set(field, known)
  }
}

/** A part of a JSON pointer in a URL. */
function unescaped(written: string): string | undefined {
  try {
    return decodeURIComponent(written).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return undefined
  }
}

function collectTags(
  node: unknown,
  resolve: (node: Json) => Json | undefined,
  tags: Set<string>,
  seen: Set<unknown>,
): void {
  if (typeof node !== 'object' || node === null || seen.has(node)) return
  seen.add(node)
  if (isObject(node)) {
    const own = node[extension]
    if (Array.isArray(own)) for (const tag of own) if (typeof tag === 'string') tags.add(tag)
    if (node.$ref !== undefined) collectTags(resolve(node), resolve, tags, seen)
  }
  for (const value of Object.values(node)) collectTags(value, resolve, tags, seen)
}

/** As patterns of names are written. What can't be written there stands for anything. */
function quoted(name: string): string {
  if (name.includes('"')) return '*'
  return /[.*\s]/.test(name) ? `"${name}"` : name
}

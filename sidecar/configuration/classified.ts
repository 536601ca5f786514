/** Classified names that the protected system doesn't have: a slip there leaves what is meant unmasked, and nobody would notice. */
import { closest, type ProtectedResource } from '@firebreak/crds'
import { exactName, type QualifiedName } from '@firebreak/policy'
import type { Inventory } from '../session.ts'
import type { Configuration } from './configuration.ts'
import { nameOf } from './name.ts'

export interface ClassificationDoubt {
  readonly resource: QualifiedName
  /** The name, as it is classified. */
  readonly classified: string
  /** `file:line` of it. */
  readonly place: string
  /** What may have been meant. */
  readonly suggestion: string | undefined
}

interface ClassifiedName {
  readonly name: string
  readonly segments: readonly string[]
  readonly field: string
}

export class ClassifiedNames {
  readonly #configuration: () => Configuration
  readonly #tell: (doubt: ClassificationDoubt) => void
  /** The latest ones, by resource and part of it. */
  readonly #inventories = new Map<QualifiedName, Map<string, Inventory>>()
  /** By resource; told again only when they were there in between. */
  readonly #told = new Map<QualifiedName, ReadonlySet<string>>()

  constructor(configuration: () => Configuration, tell: (doubt: ClassificationDoubt) => void) {
    this.#configuration = configuration
    this.#tell = tell
  }

  /** What there is now in a part of a resource. */
  take(resource: QualifiedName, part: string, inventory: Inventory): void {
    const known = this.#inventories.get(resource) ?? new Map<string, Inventory>()
    this.#inventories.set(resource, known)
    if (known.get(part) === inventory) return
    known.set(part, inventory)
    this.#compare(resource)
  }

  configurationChanged(): void {
    for (const resource of this.#inventories.keys()) this.#compare(resource)
  }

  #compare(resource: QualifiedName): void {
    const configuration = this.#configuration()
    const manifest = configuration.manifests.resources.find((candidate) => nameOf(candidate) === resource)
    const inventories = [...(this.#inventories.get(resource)?.values() ?? [])]
    const missing = manifest ? missingFrom(inventories, classifiedBy(manifest)) : []
    const before = this.#told.get(resource)
    this.#told.set(resource, new Set(missing.map(({ name }) => name)))
    for (const { name, segments, field } of missing) {
      if (before?.has(name)) continue
      const { file, line } = configuration.locate(`ProtectedResource ${resource}`, field)
      this.#tell({
        resource,
        classified: name,
        place: `${file}:${line}`,
        suggestion: nearest(segments, inventories),
      })
    }
  }
}

/** Those without wildcards. */
function classifiedBy({ spec }: ProtectedResource): ClassifiedName[] {
  return (spec.classification ?? []).flatMap(({ columns = [] }, entry) =>
    columns.flatMap((name, index) => {
      const segments = exactName(name)
      return segments ? [{ name, segments, field: `spec.classification[${entry}].columns[${index}]` }] : []
    }),
  )
}

/** A name stands for itself and for all below it. */
function missingFrom(inventories: readonly Inventory[], names: readonly ClassifiedName[]): ClassifiedName[] {
  const missing = new Map(names.map((name) => [name.segments.join('\0'), name]))
  for (const inventory of inventories)
    for (const path of inventory.names()) {
      if (missing.size === 0) return []
      for (let length = 1; length <= path.length; length++) missing.delete(path.slice(0, length).join('\0'))
    }
  return [...missing.values()]
}

/** A name that is the same but for a slip in one segment. */
function nearest(segments: readonly string[], inventories: readonly Inventory[]): string | undefined {
  const candidates = segments.map(() => new Map<string, readonly string[]>())
  for (const inventory of inventories)
    for (const path of inventory.names()) {
      const [index, ...others] = segments.flatMap((segment, at) => (differ(segment, path[at]) ? [at] : []))
      if (others.length === 0) candidates[index ?? 0]?.set(path[index ?? 0] ?? '', path)
    }
  for (const [index, segment] of segments.entries()) {
    const near = closest(segment, [...(candidates[index]?.keys() ?? [])])
    const path = near === undefined ? undefined : candidates[index]?.get(near)
    if (path) return path.slice(0, segments.length).map(quoted).join('.')
  }
  return undefined
}

function differ(segment: string, other: string | undefined): boolean {
  return segment.toLowerCase() !== other?.toLowerCase()
}

/** As it has to be written in a pattern. */
function quoted(segment: string): string {
  return segment.includes('.') ? `"${segment}"` : segment
}

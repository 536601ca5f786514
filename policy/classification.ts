import type { ProtectedResource } from '@firebreak/crds'
import { everyName } from './command.ts'
import { compileName, coverage, type NamePattern } from './names.ts'

/** Most distinct columns whose tags are remembered per resource. */
const rememberedColumns = 10_000

/** Which tags a part of an object carries, by the resource's classification. */
export class Classification {
  readonly #entries: readonly { readonly pattern: NamePattern; readonly tags: readonly string[] }[]
  readonly #remembered = new Map<string, readonly string[]>()

  constructor(resource: ProtectedResource | undefined) {
    this.#entries = (resource?.spec.classification ?? []).flatMap(({ tags, columns, fields }) =>
      [...(columns ?? []), ...(fields ?? [])].map((name) => ({ pattern: compileName(name), tags })),
    )
  }

  tagsOf(path: readonly string[], part: string): readonly string[] {
    if (this.#entries.length === 0) return none
    const key = `${path.join('\0')}\0${part}`
    const known = this.#remembered.get(key)
    if (known) return known
    const tags = this.#entries
      .filter(({ pattern }) => covers(pattern, path, part))
      .flatMap((entry) => entry.tags)
    if (this.#remembered.size >= rememberedColumns) this.#remembered.clear()
    this.#remembered.set(key, tags)
    return tags
  }

  anyTag(matches: (tag: string) => boolean): boolean {
    return this.#entries.some((entry) => entry.tags.some(matches))
  }

  /** Tags of everything that is classified at or below an object: what acting on it as a whole may touch. */
  tagsBelow(path: readonly string[]): readonly string[] {
    return this.#entries
      .filter(({ pattern }) =>
        pattern.segments.every(
          (segment, index) => index >= path.length || path[index] === everyName || segment(path[index] ?? ''),
        ),
      )
      .flatMap((entry) => entry.tags)
  }
}

const none: readonly string[] = []

function covers(pattern: NamePattern, path: readonly string[], part: string): boolean {
  const covered = coverage(pattern, '', path, true)
  return covered === 'all' || (covered !== 'none' && (part === everyName || covered(part)))
}

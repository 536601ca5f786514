/** The operations of a document, by what asks for them. */
import { looseSegments } from '../../head/path.ts'
import type { OpenApiOperation } from './document.ts'
import { isMoreExact, matchesBeginning, matchesLoosely, matchesTemplate } from './template.ts'

type Matches = (operation: OpenApiOperation) => boolean

export class Operations {
  /** By method, and by how many segments their paths have without the empty ones. */
  readonly #byMethod = new Map<string, OpenApiOperation[][]>()

  constructor(operations: readonly OpenApiOperation[]) {
    for (const operation of operations) {
      const { method, template } = operation
      const byLength = this.#byMethod.get(method) ?? []
      this.#byMethod.set(method, byLength)
      const alike = byLength[template.loose.length] ?? []
      byLength[template.loose.length] = alike
      alike.push(operation)
    }
  }

  /** @returns what is most exact; several where servers may differ. */
  at(method: string, path: readonly string[]): readonly OpenApiOperation[] {
    const { length } = looseSegments(path)
    return mostExact(this.#of(method, length, ({ template }) => matchesTemplate(template, path)))
  }

  /**
   * @param path as one of {@link loosePaths}.
   * @returns the same to a server that takes small letters for large ones, and passes over empty segments.
   */
  alike(method: string, path: readonly string[]): readonly OpenApiOperation[] {
    return mostExact(this.#of(method, path.length, ({ template }) => matchesLoosely(template, path)))
  }

  /**
   * @param paths as {@link loosePaths} gives them.
   * @returns what lenient servers may take any of them for, also those whose last parameter takes all that follows.
   */
  near(methods: readonly string[], paths: readonly (readonly string[])[]): ReadonlySet<OpenApiOperation> {
    const found = new Set<OpenApiOperation>()
    for (const method of methods)
      for (const path of paths)
        for (const operation of mostExact([
          ...this.#of(method, path.length, ({ template }) => matchesLoosely(template, path)),
          ...this.#shorter(method, path),
        ]))
          found.add(operation)
    return found
  }

  #of(method: string, length: number, matches: Matches): OpenApiOperation[] {
    const found = (this.#byMethod.get(method)?.[length] ?? []).filter(matches)
    // servers answer HEAD by what they do for GET
    return found.length === 0 && method === 'HEAD' ? this.#of('GET', length, matches) : found
  }

  #shorter(method: string, path: readonly string[]): OpenApiOperation[] {
    const methods = method === 'HEAD' ? ['HEAD', 'GET'] : [method]
    return methods.flatMap((name) =>
      (this.#byMethod.get(name) ?? [])
        .slice(0, path.length)
        .flatMap((alike) => alike.filter(({ template }) => matchesBeginning(template, path))),
    )
  }
}

/** @returns paths as lenient servers read them, each once. */
export function loosePaths(paths: readonly (readonly string[])[]): readonly (readonly string[])[] {
  return [...new Map(paths.map(looseSegments).map((path) => [path.join('\0'), path])).values()]
}

function mostExact(matching: readonly OpenApiOperation[]): OpenApiOperation[] {
  return matching.filter(({ template }) => !matching.some((other) => isMoreExact(other.template, template)))
}

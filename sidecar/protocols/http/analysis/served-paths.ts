/** Paths at which a target speaks more than HTTP. Many servers answer at all that is below such a path as at the path itself. */
import { looseSegments } from '../head/path.ts'
import type { CanonicalPath } from '../request.ts'

export class ServedPaths {
  readonly #paths: readonly (readonly string[])[]

  /** @param paths as manifests have them, `/mcp`, or `/` for all of a server. */
  constructor(paths: readonly string[]) {
    this.#paths = paths.map((path) => looseSegments(path.split('/')))
  }

  /** Whether some server would take a path for one of them, or for one below. */
  has({ segments, otherReadings }: CanonicalPath): boolean {
    return [segments, ...otherReadings].some((reading) => this.covers(reading))
  }

  /** Whether segments are those of one of them, or of one below, in whatever letters. */
  covers(segments: readonly string[]): boolean {
    const asked = looseSegments(segments)
    return this.#paths.some((path) => path.every((segment, index) => segment === asked[index]))
  }
}

/** Places in files of a directory that is named by a path, as seen from the working directory. */
import { relative, resolve } from 'node:path'
import type { Location, ManifestProblem } from '@firebreak/crds'

/** @param directory whose files the location names by themselves. */
export function seenFromHere(directory: string, { file, line, column }: Location): Location {
  return { file: relative('', resolve(directory, file)), line, column }
}

export function problemSeenFromHere(directory: string, problem: ManifestProblem): ManifestProblem {
  return { ...problem, location: seenFromHere(directory, problem.location) }
}

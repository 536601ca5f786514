/** Patterns over dotted names, as rules and classifications write them. */
import { everyName } from './command.ts'

/** A name pattern ready to match. */
export interface NamePattern {
  /** The object kind that was written before the name, if any. */
  readonly kind: string | undefined
  readonly segments: readonly ((text: string) => boolean)[]
  /** It is a path of things that have no parts: what is below one is another thing. */
  readonly isPath: boolean
}

/**
 * Compiles `schema.table.column` with `*` wildcards inside segments, double quotes around segments that hold dots,
 * and an optional leading kind (`function public.f`). Names are compared exactly, as the system stores them.
 * A lone `*` or `**` matches everything. A name that begins with a slash is a path, `/users/*`, split at its slashes.
 */
export function compileName(pattern: string): NamePattern {
  const { kind, segments } = splitName(pattern)
  return { kind, segments: segments.map(compileGlob), isPath: isPath(pattern) }
}

export function isPath(pattern: string): boolean {
  return pattern.startsWith('/')
}

/** The full name of a thing, as a pattern for it is written. */
export function joinName(kind: string, path: readonly string[]): string {
  return kind === 'path' ? `/${path.join('/')}` : path.map(shownName).join('.')
}

/** A segment of such a pattern. */
export function shownName(name: string): string {
  if (name === everyName) return '*'
  return name.includes('.') ? `"${name}"` : name
}

/** @returns the segments of a pattern that names one thing; undefined where it has wildcards. */
export function exactName(pattern: string): readonly string[] | undefined {
  const { kind, segments } = splitName(pattern)
  const exact = kind === undefined && segments.length > 0 && !pattern.includes('*')
  return exact ? segments : undefined
}

/** @returns the kind before the name, and its segments without their quotes; no segments where everything is meant. */
export function splitName(pattern: string): {
  readonly kind: string | undefined
  readonly segments: string[]
} {
  if (isPath(pattern)) return { kind: undefined, segments: pattern.slice(1).split('/') }
  const space = /^([a-z]+) +(.+)$/.exec(pattern)
  const name = space?.[2] ?? pattern
  return { kind: space?.[1], segments: name === '*' || name === '**' ? [] : splitSegments(name) }
}

function splitSegments(name: string): string[] {
  const segments: string[] = []
  let current = ''
  let quoted = false
  for (const character of name) {
    if (character === '"') quoted = !quoted
    else if (character === '.' && !quoted) {
      segments.push(current)
      current = ''
    } else current += character
  }
  return [...segments, current]
}

/** `*` stands for any run of characters; everything else for itself. */
export function compileGlob(glob: string): (text: string) => boolean {
  if (glob === '*') return () => true
  if (!glob.includes('*')) return (text) => text === glob
  const expression = new RegExp(`^${glob.split('*').map(escapeRegExp).join('.*')}$`, 's')
  return (text) => expression.test(text)
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** How much of an object a pattern covers: all of it, only parts of a certain name below it, or nothing. */
export type Coverage = 'all' | 'none' | ((part: string) => boolean)

/** @param any whether a pattern for one of the names that a path stands for is about the path. */
export function coverage(
  pattern: NamePattern,
  kind: string,
  path: readonly string[],
  any: boolean,
): Coverage {
  if (pattern.kind !== undefined && pattern.kind !== kind) return 'none'
  const { segments } = pattern
  if (pattern.isPath && kind !== 'path') return 'none'
  for (let index = 0; index < segments.length && index < path.length; index++) {
    const name = path[index] ?? ''
    if (!(any && name === everyName) && !segments[index]?.(name)) return 'none'
  }
  if (segments.length <= path.length) return 'all'
  return segments.length === path.length + 1 && !pattern.isPath ? (segments[path.length] ?? 'none') : 'none'
}

/** Whether there is a text that two globs match. */
export function globsMeet(one: string, other: string): boolean {
  // for each end of `one`: at which ends of `other` they meet
  let below: boolean[] = []
  for (let i = one.length; i >= 0; i--) {
    const here: boolean[] = []
    for (let j = other.length; j >= 0; j--) {
      const [a, b] = [one[i], other[j]]
      if (a === undefined && b === undefined) here[j] = true
      else if (a === '*') here[j] = below[j] === true || (b !== undefined && here[j + 1] === true)
      else if (b === '*') here[j] = here[j + 1] === true || (a !== undefined && below[j] === true)
      else here[j] = a === b && below[j + 1] === true
    }
    below = here
  }
  return below[0] === true
}

/** Whether a glob matches all that another one does: its wildcards take the other's for what they may stand for. */
export function globCovers(glob: string, other: string): boolean {
  return compileGlob(glob)(other)
}

/** Whether a name pattern covers all that another one does. */
export function nameCovers(pattern: string, other: string): boolean {
  const outer = splitName(pattern)
  const inner = splitName(other)
  return (
    (isPath(pattern) === isPath(other) || outer.segments.length === 0) &&
    (outer.kind === undefined || outer.kind === inner.kind) &&
    outer.segments.length <= inner.segments.length &&
    outer.segments.every((segment, index) => globCovers(segment, inner.segments[index] ?? ''))
  )
}

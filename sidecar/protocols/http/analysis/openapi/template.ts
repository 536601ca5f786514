/** Templates of paths, `/users/{id}`, and which one a path is of. */
import type { Result } from '../../../../session.ts'
import { looseText } from '../../head/path.ts'

export interface Template {
  /** As written, with the path of the server before it. */
  readonly text: string
  readonly segments: readonly TemplateSegment[]
  /** As a lenient server may have them: in small letters, without those that are empty. */
  readonly loose: readonly TemplateSegment[]
}

/** Fixed text, or what stands before and behind a parameter. */
type TemplateSegment =
  | { readonly kind: 'fixed'; readonly text: string }
  | { readonly kind: 'parameter'; readonly before: string; readonly after: string }

export function compileTemplate(text: string): Result<Template, string> {
  const segments: TemplateSegment[] = []
  for (const written of text.slice(1).split('/')) {
    const parts = /^([^{}]*)\{[^{}]+\}([^{}]*)$/.exec(written)
    if (parts) segments.push({ kind: 'parameter', before: parts[1] ?? '', after: parts[2] ?? '' })
    else if (/[{}]/.test(written))
      return { ok: false, error: `the path ${text} has parameters that can’t be told apart` }
    else segments.push({ kind: 'fixed', text: decoded(written) })
  }
  return { ok: true, value: { text, segments, loose: segments.flatMap(loosened) } }
}

function decoded(written: string): string {
  try {
    return decodeURIComponent(written)
  } catch {
    return written
  }
}

function loosened(segment: TemplateSegment): TemplateSegment[] {
  if (segment.kind === 'parameter') {
    const { before, after } = segment
    return [{ ...segment, before: looseText(before), after: looseText(after) }]
  }
  return segment.text === '' ? [] : [{ ...segment, text: looseText(segment.text) }]
}

export function matchesTemplate({ segments }: Template, path: readonly string[]): boolean {
  return matches(segments, path)
}

/** @param path by {@link looseSegments}. */
export function matchesLoosely({ loose }: Template, path: readonly string[]): boolean {
  return matches(loose, path)
}

/** Whether a server may go on reading where the last parameter of a template begins. @param path by {@link looseSegments}. */
export function matchesBeginning({ loose }: Template, path: readonly string[]): boolean {
  const last = loose.length - 1
  if (loose[last]?.kind !== 'parameter' || path.length <= loose.length) return false
  return matches(loose, [...path.slice(0, last), path.slice(last).join('/')])
}

function matches(segments: readonly TemplateSegment[], path: readonly string[]): boolean {
  return (
    segments.length === path.length &&
    segments.every((segment, index) => matchesSegment(segment, path[index] ?? ''))
  )
}

function matchesSegment(segment: TemplateSegment, text: string): boolean {
  if (segment.kind === 'fixed') return segment.text === text
  const { before, after } = segment
  return text.length > before.length + after.length && text.startsWith(before) && text.endsWith(after)
}

/** Whether one says more than another wherever they differ: `/users/me` than `/users/{id}`, which servers take for it. */
export function isMoreExact(one: Template, other: Template): boolean {
  let isMore = false
  for (const [index, segment] of one.loose.entries()) {
    const difference = exactness(segment) - exactness(other.loose[index])
    if (difference < 0) return false
    if (difference > 0) isMore = true
  }
  return isMore
}

function exactness(segment: TemplateSegment | undefined): number {
  // read on by a parameter before
  if (!segment) return -1
  if (segment.kind === 'fixed') return Number.MAX_SAFE_INTEGER
  return segment.before.length + segment.after.length
}

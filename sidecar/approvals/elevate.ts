import type { Elevation, Principal, Subject } from '@firebreak/policy'

/** Elevations widen the rights of the one who acts: those who delegated to it keep what they had, and still bound it. */
export function elevate(subject: Subject, elevations: readonly Elevation[]): Subject {
  if (elevations.length === 0) return subject
  const [first, ...rest] = subject.chain
  const last = rest.pop()
  const chain: [Principal, ...Principal[]] = last
    ? [first, ...rest, { ...last, elevations }]
    : [{ ...first, elevations }]
  return { ...subject, chain }
}

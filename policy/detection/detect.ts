/** Finds values by their form: a second line for text that nobody classified. */
import type { DetectorKind } from '../decision.ts'
import { luhnSum } from '../masking/format.ts'

export interface Finding {
  readonly kind: DetectorKind
  readonly start: number
  readonly end: number
}

interface Detector {
  /** Values, not languages, are matched here. Every pattern is linear: no repetition stands inside another. */
  readonly pattern: RegExp
  /** Cheap test that must hold for the pattern to be tried at all. */
  readonly hint: (text: string) => boolean
  readonly valid?: (match: string) => boolean
}

const hasDigit = (text: string): boolean => /[0-9]/.test(text)
/** Most text is short, and nothing of the kind. */
const isLong = (text: string, shortest: number): boolean => text.length >= shortest

const detectors: Readonly<Record<DetectorKind, Detector>> = {
  card: {
    pattern: /(?<![0-9A-Za-z])[2-6](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])/g,
    hint: (text) => isLong(text, 13) && hasDigit(text),
    valid: (match) => luhnSum(match.replace(/[^0-9]/g, '')) % 10 === 0,
  },
  ssn: {
    // area 000, 666 and 900–999, group 00 and serial 0000 are never issued (SSA, POMS RM 10201.035)
    pattern: /(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z-])/g,
    hint: (text) => text.includes('-'),
  },
  email: {
    pattern: /[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}/g,
    hint: (text) => text.includes('@'),
  },
  iban: {
    pattern: /(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![0-9A-Za-z])/g,
    hint: (text) => isLong(text, 15) && hasDigit(text),
    valid: (match) => ibanRemainder(match.replaceAll(' ', '')) === 1,
  },
  'cloud-key': {
    pattern:
      /(?<![0-9A-Za-z])(?:(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[0-9A-Za-z_-]{35}|ghp_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{40,90}|glpat-[0-9A-Za-z_-]{20}|xox[abprs]-[0-9A-Za-z-]{10,80}|sk_live_[0-9A-Za-z]{16,64}|AccountKey=[0-9A-Za-z+/]{86}==)/g,
    hint: (text) => isLong(text, 15),
  },
  jwt: {
    pattern: /(?<![0-9A-Za-z_-])eyJ[0-9A-Za-z_-]{10,4096}\.eyJ[0-9A-Za-z_-]{2,16384}\.[0-9A-Za-z_-]{0,4096}/g,
    hint: (text) => text.includes('eyJ'),
  },
  'private-key': {
    pattern:
      /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[0-9A-Za-z+/=\s\\:,-]{0,16384}?-----END [A-Z ]{0,20}PRIVATE KEY-----/g,
    hint: (text) => text.includes('-----BEGIN'),
  },
}

/** @returns what was found, in order, without overlaps (the longer of two wins). */
export function detect(text: string, kinds: readonly DetectorKind[]): Finding[] {
  const findings: Finding[] = []
  for (const kind of kinds) {
    const { pattern, hint, valid } = detectors[kind]
    if (!hint(text)) continue
    for (const match of text.matchAll(pattern)) {
      if (valid && !valid(match[0])) continue
      findings.push({ kind, start: match.index, end: match.index + match[0].length })
    }
  }
  findings.sort((a, b) => a.start - b.start || b.end - a.end)
  let covered = 0
  return findings.filter(({ start, end }) => {
    const overlaps = start < covered
    covered = Math.max(covered, end)
    return !overlaps
  })
}

/** Replaces what is found by its kind: `<email>`. @returns the text itself when nothing is. */
export function maskDetected(text: string, kinds: readonly DetectorKind[]): string {
  const findings = detect(text, kinds)
  if (findings.length === 0) return text
  let masked = ''
  let position = 0
  for (const { kind, start, end } of findings) {
    masked += `${text.slice(position, start)}<${kind}>`
    position = end
  }
  return masked + text.slice(position)
}

/** ISO 7064 MOD 97-10 of a rearranged IBAN; 1 when it is valid (ISO 13616). */
function ibanRemainder(iban: string): number {
  let remainder = 0
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(character, 36)
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97
  }
  return remainder
}

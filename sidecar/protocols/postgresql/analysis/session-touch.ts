/** What a statement does to nothing but its own session. */
import type { Findings } from './findings.ts'

export function session(findings: Findings, what: string): void {
  findings.touch(
    'sql:session',
    'session',
    [what],
    undefined,
    findings.origin === 'direct' ? 'baseline' : findings.origin,
  )
}

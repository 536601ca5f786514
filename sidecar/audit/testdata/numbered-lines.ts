/**
 * A process that writes an audit trail of numbered lines as fast as it is let, until SIGTERM.
 *
 * Usage: numbered-lines.ts FILE|-|TARGETS block|spool|drop FIRST TOGETHER. TARGETS is JSON. So many lines come together.
 * Standard error says what happens, and how far it is.
 */
import { Audit } from '../audit.ts'
import type { AuditTarget } from '../target.ts'

const [path = '-', onFailure = 'block', first = '1', together = '5'] = process.argv.slice(2)
const audit = await Audit.open(
  path.startsWith('[')
    ? (JSON.parse(path) as AuditTarget[])
    : [path === '-' ? { kind: 'standardOutput' } : { kind: 'file', path }],
  { normalize: (text) => text, mayHoldSecret: () => false },
  {
    failed: ({ message }) => console.error(`failed ${message}`),
    recovered: () => console.error('recovered'),
    undelivered: (_, reason) => console.error(`undelivered ${reason}`),
    delivered: () => console.error('delivered'),
  },
)
const policy = { text: 'full', onFailure: onFailure as 'block' | 'spool' | 'drop' } as const
let next = Number(first)
let stopped = false
process.once('SIGTERM', () => {
  stopped = true
  void end()
})
const report = setInterval(() => console.error(`at ${next - 1} ${Date.now()}`), 5)
void make()

async function make(): Promise<void> {
  while (!stopped) {
    // as a session does before each command
    await audit.ready(policy)
    if (stopped) return
    for (let count = 0; count < Number(together); count++)
      audit.notice('configuration.applied', { revision: String(next++) })
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

async function end(): Promise<void> {
  clearInterval(report)
  const lost = await audit.close()
  console.error(`end ${next - 1} ${lost}`)
}

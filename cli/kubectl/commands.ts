/** What the plugin can do. Commands that know both worlds, or none, are those of `firebreak`. */
import type { Commands } from '../program.ts'

export const program = 'kubectl firebreak'

export const pluginCommands: Commands = {
  status: async () => (await import('./status.ts')).status,
  approvals: async () => (await import('./approvals.ts')).approvals,
  approve: async () => (await import('./decide.ts')).approve,
  deny: async () => (await import('./decide.ts')).deny,
  revoke: async () => (await import('./decide.ts')).revoke,
  explain: async () => (await import('./explain.ts')).explain,
  verify: async () => (await import('./verify/verify.ts')).verify,
  audit: async () => (await import('./audit.ts')).audit,
  sessions: async () => (await import('./recordings.ts')).sessions,
  replay: async () => (await import('./recordings.ts')).replay,
  check: async () => (await import('../check.ts')).check,
  diff: async () => (await import('../diff/diff.ts')).diff,
  export: async () => (await import('../export.ts')).exportCommand,
  test: async () => (await import('../testing/test.ts')).test,
  uninstall: async () => (await import('./uninstall.ts')).uninstall,
}

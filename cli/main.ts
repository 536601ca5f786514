#!/usr/bin/env -S node --max-semi-space-size=2 --liftoff-only
/** `firebreak`, for the machine it runs on. `kubectl firebreak` is kubectl/main.ts. */
import { type Commands, loadAll, runProgram } from './program.ts'

const commands: Commands = {
  run: async () => (await import('./run.ts')).run,
  check: async () => (await import('./check.ts')).check,
  diff: async () => (await import('./diff/diff.ts')).diff,
  explain: async () => (await import('./explain.ts')).explain,
  export: async () => (await import('./export.ts')).exportCommand,
  test: async () => (await import('./testing/test.ts')).test,
  approvals: async () => (await import('./approvals/approvals.ts')).approvals,
  approve: async () => (await import('./approvals/decide.ts')).approve,
  deny: async () => (await import('./approvals/decide.ts')).deny,
  revoke: async () => (await import('./approvals/decide.ts')).revoke,
  suspended: async () => (await import('./approvals/resume.ts')).suspended,
  resume: async () => (await import('./approvals/resume.ts')).resume,
  'request-access': async () => (await import('./approvals/request-access.ts')).requestAccess,
  delegate: async () => (await import('./delegation/delegate.ts')).delegate,
  delegations: async () => (await import('./delegation/delegate.ts')).delegations,
  'revoke-delegation': async () => (await import('./delegation/delegate.ts')).revokeDelegation,
  sessions: async () => (await import('./sessions/sessions.ts')).sessions,
  replay: async () => (await import('./replay/replay.ts')).replay,
  cleanup: async () => (await import('./cleanup.ts')).cleanup,
  contain: async () => (await import('./contain.ts')).contain,
  probe: async () => (await import('./probe/probe.ts')).probe,
  audit: async () => (await import('./audit.ts')).audit,
  sidecar: async () => (await import('./sidecar.ts')).sidecar,
  operator: async () => (await import('./operator.ts')).operator,
  demo: async () => (await import('./demo/demo.ts')).demo,
}

await runProgram('firebreak', {
  ...commands,
  completion: async () => (await import('./completion.ts')).completion(await loadAll(commands)),
})

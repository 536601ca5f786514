/**
 * The closed vocabulary of what conditions may ask of what a shell is given, as `command.shell.<name>`. A fact that
 * can't be told is absent: then no condition on it allows anything, and every one that denies or holds does.
 */
import type { Fact } from '@firebreak/policy'

export const shellFacts = {
  programs: 'what is started, as written and without its directory: `/bin/rm` is `/bin/rm` and `rm`',
  arguments: 'those of all programs, in order; absent where the shell has yet to make one',
  writes: 'files that output is redirected to',
  reads: 'files that input is redirected from',
} as const

export type ShellFact = keyof typeof shellFacts
export type ShellFacts = Partial<Record<ShellFact, Fact>>

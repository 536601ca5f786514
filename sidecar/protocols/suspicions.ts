/** What in the words of each protocol is worth a second look, for the signals. */
import type { Command, ObjectName, ResourceType } from '@firebreak/policy'
import { httpSuspicions } from './http/analysis/suspicions.ts'
import { kubernetesSuspicions } from './kubernetes/analysis/suspicions.ts'
import { postgresqlSuspicions } from './postgresql/analysis/suspicions.ts'

export interface Suspicions {
  /** How a command could get around the gateway, blind or reconfigure it, in words: `runs a program on the server`. */
  readonly reachesAround: (command: Command) => string | undefined
  /** The same, of what is ordinary work of whoever policy lets do it. */
  readonly mayReachAround: (command: Command) => string | undefined
  /** Whether it goes on reading where another command stopped. */
  readonly readsOn: (command: Command) => boolean
  /** Whether an error of the target says that something isn't there, or not for this account. */
  readonly isProbe: (code: string) => boolean
  /** What is tried, where neither an error nor a denial says so in few words; undefined where they do. */
  readonly tried: (command: Command) => string | undefined
  /** Whether an object belongs to one session, or is none of the target's. */
  readonly passing: (object: ObjectName) => boolean
}

const nothing: Suspicions = {
  reachesAround: () => undefined,
  mayReachAround: () => undefined,
  readsOn: () => false,
  isProbe: () => false,
  tried: () => undefined,
  passing: () => false,
}

const byType: Partial<Record<ResourceType, Suspicions>> = {
  postgresql: postgresqlSuspicions,
  http: httpSuspicions,
  kubernetes: kubernetesSuspicions,
}

export function suspicionsOf(type: ResourceType): Suspicions {
  return byType[type] ?? nothing
}

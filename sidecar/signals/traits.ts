/** What detectors look at in a command: found out once for all its runs. */
import { type Command, joinName, type ObjectName } from '@firebreak/policy'
import { suspicionsOf } from '../protocols/suspicions.ts'

export interface Traits {
  /** What it does to what, whatever its words: the same for all that does the same. */
  readonly signature: string
  /** Actions and objects that it names itself, as `sql:select` and `table public.orders`. */
  readonly names: readonly string[]
  /** Those of them that it makes. */
  readonly made: ReadonlySet<string>
  /** Names of what its result comes from. */
  readonly reads: readonly string[]
  /** How it could get around the gateway, in words. */
  readonly reachesAround: string | undefined
  /** The same, of what is ordinary work where policy allows it. */
  readonly mayReachAround: string | undefined
  /** It goes on reading where another command stopped: the same text reads something else each time. */
  readonly readsOn: boolean
  /** Codes of the target's errors that say that something isn't there, or not for this account. */
  readonly isProbe: (code: string) => boolean
  /** What is tried when it is denied, or is a probe; undefined where the error says so. */
  readonly tried: string | undefined
}

const known = new WeakMap<Command, Traits>()

export function traitsOf(command: Command): Traits {
  let traits = known.get(command)
  if (!traits) {
    traits = findOut(command)
    known.set(command, traits)
  }
  return traits
}

function findOut(command: Command): Traits {
  const { touches, opaque, fields, resourceType } = command
  const suspicions = suspicionsOf(resourceType)
  const direct = touches.filter(({ origin }) => origin === 'direct')
  const objects = direct.filter(({ object }) => !suspicions.passing(object))
  return {
    signature: [...new Set([...direct.map(({ action, object }) => `${action} ${nameOf(object)}`), ...opaque])]
      .sort()
      .join(', '),
    names: [
      ...new Set([...direct.map(({ action }) => action), ...objects.map(({ object }) => kinOf(object))]),
    ],
    made: new Set(
      objects.filter(({ action }) => action.endsWith(':create')).map(({ object }) => kinOf(object)),
    ),
    reads: [...new Set(fields.flatMap(({ sources }) => sources.map(({ path }) => path.join('.'))))].slice(
      0,
      4,
    ),
    reachesAround: suspicions.reachesAround(command),
    mayReachAround: suspicions.mayReachAround(command),
    readsOn: suspicions.readsOn(command),
    isProbe: suspicions.isProbe,
    tried: suspicions.tried(command),
  }
}

function nameOf({ kind, path }: ObjectName): string {
  return `${kind} ${joinName(kind, path)}`
}

/** Partitions and copies that are numbered or dated are one thing: `table public.orders_#`. */
function kinOf(object: ObjectName): string {
  return nameOf(object).replaceAll(/[0-9]+/g, '#')
}

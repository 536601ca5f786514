/** Every way in which conditions can turn out. */
import type { Fact } from '@firebreak/policy'

/** The conditions that hold and that don't, by fact; one that can't be evaluated is in neither, and each rule takes its own view of that. */
export type World = Readonly<Record<string, Fact>>

/** With more conditions than this at once, not all combinations are tried. */
const mostCombined = 4

const outcomes = [true, false, undefined] as const

export interface Worlds {
  readonly all: readonly World[]
  /** Whether every combination is among them. */
  readonly complete: boolean
}

export function worldsOf(facts: readonly string[]): Worlds {
  if (facts.length <= mostCombined) return { all: combinations(facts), complete: true }
  const uniform = outcomes.map((outcome) => facts.reduce((world, fact) => assume(world, fact, outcome), {}))
  const deviating = uniform.flatMap((world) =>
    facts.flatMap((fact) => outcomes.map((outcome) => assume(world, fact, outcome))),
  )
  return { all: [...uniform, ...deviating], complete: false }
}

function combinations(facts: readonly string[]): readonly World[] {
  return facts.reduce<World[]>(
    (worlds, fact) => worlds.flatMap((world) => outcomes.map((outcome) => assume(world, fact, outcome))),
    [{}],
  )
}

function assume(world: World, fact: string, outcome: boolean | undefined): World {
  const { [fact]: _before, ...others } = world
  return outcome === undefined ? others : { ...others, [fact]: outcome }
}

/**
 * In words, in which worlds something is so.
 *
 * @param holds whether it is, by world.
 * @returns undefined when it is so in all of them.
 */
export function whenInWords(
  facts: readonly string[],
  worlds: readonly World[],
  holds: (world: World) => boolean,
  textOf: (fact: string) => string,
): string | undefined {
  if (worlds.every(holds)) return undefined
  const deciding = facts.filter((fact) => matters(fact, worlds, holds))
  const [only, ...others] = deciding
  if (only !== undefined && others.length === 0) {
    const so = (outcome: boolean): boolean => worlds.filter((world) => world[only] === outcome).every(holds)
    const text = textOf(only)
    if (so(true) && !so(false)) return `where ${text}`
    if (so(false) && !so(true)) return `where not (${text})`
    return `where ${text} can't be told`
  }
  return `depending on ${(deciding.length > 0 ? deciding : facts).map(textOf).join(' and ')}`
}

/** Whether anything changes with a condition alone. */
function matters(fact: string, worlds: readonly World[], holds: (world: World) => boolean): boolean {
  const byRest = Map.groupBy(worlds, (world) => JSON.stringify(sorted(assume(world, fact, undefined))))
  return [...byRest.values()].some((same) => same.some(holds) && !same.every(holds))
}

function sorted(world: World): unknown {
  return Object.entries(world).sort(([a], [b]) => (a < b ? -1 : 1))
}

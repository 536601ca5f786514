/** What the analysis of one statement has found so far. */
import type { Command, Field, IndirectUse, ObjectName, Source, Touch } from '@firebreak/policy'
import type { Catalogue } from '../catalogue/types.ts'
import type { SqlAction } from './actions.ts'
import type { SqlFacts } from './facts.ts'
import type { SessionContext, SessionEffect, StatementAnalysis } from './types.ts'
import { isTraced, sourceKey, type Value } from './value.ts'

interface OpenTouch {
  readonly action: SqlAction
  readonly kind: string
  readonly path: readonly string[]
  origin: Touch['origin']
  parts: Set<string> | undefined
}

const rank = { baseline: 0, implied: 1, direct: 2 } as const

/**
 * Collects touches, opaque reasons, indirect uses and facts of one statement, and carries what the analysis has to
 * know on its way down the tree.
 */
export class Findings {
  readonly context: SessionContext
  readonly catalogue: Catalogue
  /** As in {@link SessionContext}, but that of the code being analysed: views and functions have their own. */
  searchPath: readonly string[] | undefined
  /** The origin of touches found now. */
  origin: Touch['origin'] = 'direct'
  /** Code that the owner installed is being analysed: what it does inside is not the agent's doing. */
  readonly effects: SessionEffect[] = []
  readonly functions = new Set<string>()
  /** Functions that run without being named, by OID: what they do is looked at once. */
  readonly installed = new Set<number>()
  /** Functions whose bodies are being analysed, to stop at recursion. */
  readonly bodies = new Set<number>()
  readonly views = new Set<number>()
  /** OIDs of the relations that names of the definition being analysed have led to. */
  #reached = new Set<number>()
  /** Nodes that have been analysed; what is left over at the end makes the statement opaque. */
  visited = new WeakSet<object>()
  /** Everything that was read, wherever the value went. */
  readonly reads = new Map<string, Source>()
  /** Statements of a block or of a body being defined are analysed: they may never run. */
  insideCode = false
  restricted = true
  consultedConstants = false
  contextual = false
  /** How many operations that can fail on a value were seen. */
  failables = 0
  /** How many functions were seen that make values as long as one likes. */
  enlargements = 0
  joins = 0
  limit: number | undefined
  kind = ''
  depth = 0
  /** DDL earlier in the same text has made the catalogue unreliable. */
  definitionsPending: boolean
  serverError: StatementAnalysis['serverError']
  copy: StatementAnalysis['copy']
  shapeUnknown = false
  readonly #touches = new Map<string, OpenTouch>()
  readonly #opaque = new Set<string>()
  readonly #indirect = new Map<string, IndirectUse>()

  constructor(context: SessionContext, catalogue: Catalogue, definitionsPending: boolean) {
    this.context = context
    this.catalogue = catalogue
    this.searchPath = context.searchPath
    this.definitionsPending = definitionsPending
  }

  /** @returns the touch, to add parts to; undefined parts mean the whole object. */
  touch(
    action: SqlAction,
    kind: string,
    path: readonly string[],
    parts?: readonly string[],
    origin = this.origin,
  ): OpenTouch {
    const key = `${action}\0${kind}\0${path.join('\0')}`
    let touch = this.#touches.get(key)
    if (!touch) {
      touch = { action, kind, path, origin, parts: parts && new Set(parts) }
      this.#touches.set(key, touch)
      return touch
    }
    if (rank[origin] > rank[touch.origin]) touch.origin = origin
    if (parts === undefined) touch.parts = undefined
    else for (const part of parts) touch.parts?.add(part)
    return touch
  }

  /** The owner's own code may do what we can't see; anything else makes the statement opaque. */
  opaque(reason: string): void {
    if (this.origin !== 'implied') this.#opaque.add(reason)
  }

  /** @param location where in the text, in bytes from 0, as the parser tells it. */
  fails(code: string, message: string, location?: number): void {
    this.opaque(message)
    if (this.origin === 'direct')
      this.serverError ??= { code, message, ...(location !== undefined && { position: location }) }
  }

  /** Data is used in a way that masking the result can't cover. The owner's own code may. */
  indirect(value: Value, through: string): void {
    if (this.origin === 'implied' || !isTraced(value)) return
    if (value.derivation === 'unproven') this.opaque(`${through} uses data that can't be traced`)
    for (const source of value.sources) {
      const key = sourceKey(source)
      if (!this.#indirect.has(key)) this.#indirect.set(key, { source, through })
    }
  }

  /** An operation that can fail, or be noticed, depending on the values it gets. */
  failable(value: Value, what: string): void {
    this.failables++
    this.indirect(value, what)
  }

  effect(effect: SessionEffect): void {
    if (this.origin !== 'implied') this.effects.push(effect)
  }

  /** Runs work with another origin and search path, as code that stands behind a name. */
  within<Result>(
    origin: Touch['origin'],
    searchPath: readonly string[] | undefined,
    work: () => Result,
  ): Result {
    const before = { origin: this.origin, searchPath: this.searchPath }
    // what implied code calls is implied, whatever it is
    if (this.origin !== 'implied') this.origin = origin
    this.searchPath = searchPath
    try {
      return work()
    } finally {
      this.origin = before.origin
      this.searchPath = before.searchPath
    }
  }

  /** A name has led to a relation. */
  reach(oid: number): void {
    this.#reached.add(oid)
  }

  /** Runs work. @returns also the relations that names in it led to, but not those that lie behind them. */
  reaching<Values>(work: () => Values): { values: Values; reached: ReadonlySet<number> } {
    const outer = this.#reached
    const reached = new Set<number>()
    this.#reached = reached
    try {
      return { values: work(), reached }
    } finally {
      this.#reached = outer
    }
  }

  /** Takes over what another statement's analysis says, as EXECUTE and FETCH do. */
  adopt({ command, effects, copy, shapeUnknown }: StatementAnalysis): void {
    for (const { action, object, origin } of command.touches)
      this.touch(action as SqlAction, object.kind, object.path, object.parts, origin)
    for (const reason of command.opaque) this.#opaque.add(reason)
    for (const use of command.indirectUses) this.#indirect.set(sourceKey(use.source), use)
    this.effects.push(...effects)
    this.copy = copy
    this.shapeUnknown ||= shapeUnknown
    if (command.facts.sql?.restricted === false) this.restricted = false
  }

  command(text: string, fields: readonly Field[]): Command {
    const touches = [...this.#touches.values()].map(
      ({ action, kind, path, origin, parts }): Touch => ({
        action,
        origin,
        object: { kind, path, ...(parts && { parts: [...parts] }) } satisfies ObjectName,
      }),
    )
    const tables = touches
      .filter((touch) => touch.object.kind === 'table' && touch.origin !== 'baseline')
      .map((touch) => touch.object.path)
    return {
      resourceType: 'postgresql',
      text,
      touches,
      opaque: [...this.#opaque],
      fields,
      indirectUses: [...this.#indirect.values()],
      facts: {
        sql: {
          kind: this.kind,
          restricted: this.restricted,
          tables: [...new Set(tables.map((path) => path.join('.')))],
          schemas: [...new Set(tables.map((path) => path[0] ?? ''))],
          functions: [...this.functions],
          joins: this.joins,
          limited: this.limit !== undefined,
          ...(this.limit !== undefined && { limit: this.limit }),
        } satisfies SqlFacts,
      },
    }
  }
}

/**
 * The words in which a protocol tells the policy what is about to happen.
 *
 * A protocol's analysis turns bytes into a {@link Command}; nothing behind this point knows the protocol.
 */

/** The kinds of protected systems. The same list as `ProtectedResource.spec.type`. */
export type ResourceType = 'postgresql' | 'mysql' | 'kubernetes' | 'ssh' | 'rdp' | 'http'

/** What stands before the colon of every action on a type of system. */
export const actionFamilies: Readonly<Record<ResourceType, string>> = {
  postgresql: 'sql',
  mysql: 'sql',
  kubernetes: 'k8s',
  ssh: 'ssh',
  rdp: 'rdp',
  http: 'http',
}

/** In the path of what is touched: whatever is there. No system has a name like it; people see `*`. */
export const everyName = '\u{10ffff}'

/** Something in a protected system that an action touches. */
export interface ObjectName {
  /** What it is, in the protocol's closed vocabulary: `table`, `function`, `schema`, `setting`, `pods` … */
  readonly kind: string
  /**
   * Its full name from the outside in, unquoted: `['public', 'customers']`. Never empty; a name that could not be
   * resolved makes the command opaque instead. A segment {@link everyName} stands for all there are: a rule about any
   * of them is about the touch, and only one about all of them allows it.
   */
  readonly path: readonly string[]
  /** The named parts of it that are touched (columns, fields), when the action is about parts. */
  readonly parts?: readonly string[]
}

/** One thing a command really does. */
export interface Touch {
  /** From the protocol's closed vocabulary: `sql:delete`, `k8s:create` … */
  readonly action: string
  /** The same under other names, `openapi:deleteUser`: a rule that is about one of them is about the touch. */
  readonly also?: readonly string[]
  readonly object: ObjectName
  /**
   * How the touch comes about, which says what it needs:
   * - `direct`: the command asks for it; it needs an allow rule of its own.
   * - `implied`: code or definitions that the owner of the system installed do it (a view reads its
   *   tables, a trigger writes its log); it needs no allow rule, but deny, hold and mask rules match it.
   * - `baseline`: part of merely having a session (BEGIN, SHOW, reading pg_type); allowed to whoever may have
   *   the session, but deny and hold rules match it.
   */
  readonly origin: 'direct' | 'implied' | 'baseline'
}

/** Data of the protected system that flows somewhere: a column, a field of a document. */
export interface Source {
  /** The object with exactly one part: `table public.customers` part `email`. */
  readonly path: readonly string[]
  readonly part: string
}

/** One part of the response that can be masked by itself: a result column, a JSON field. */
export interface Field {
  readonly label: string
  /** Everything that its value may derive from. */
  readonly sources: readonly Source[]
  /**
   * - `copy`: the value is a source's value, unchanged, so a mask may keep a part of it.
   * - `derived`: computed from the sources; a mask replaces it whole.
   * - `unproven`: may derive from anything in the resource; every mask rule applies, and replaces it whole.
   */
  readonly derivation: 'copy' | 'derived' | 'unproven'
}

/**
 * A use of data that masking the response cannot cover: a predicate, a sort key, a copy into
 * another table, an argument of something that can fail or be observed.
 */
export interface IndirectUse {
  readonly source: Source
  /** In words, for the error message: `WHERE`, `ORDER BY`, `stored in public.notes.body` … */
  readonly through: string
}

export type Fact = string | number | boolean | readonly string[]

/** One unit of intent inside a session, as far as the analysis could prove what it does. */
export interface Command {
  readonly resourceType: ResourceType
  /** As the client sent it, for people. Decisions never look at it. */
  readonly text: string
  readonly touches: readonly Touch[]
  /**
   * Why the command can't be proven to do no more than its touches say, in words for people.
   * Not empty = opaque: deny, hold and mask rules match it as if it did everything.
   */
  readonly opaque: readonly string[]
  /** The response's fields in order; empty when the command returns no data. */
  readonly fields: readonly Field[]
  readonly indirectUses: readonly IndirectUse[]
  /** What conditions see as `command.<namespace>.<name>`; the namespace is the protocol family (`sql`). */
  readonly facts: Readonly<Record<string, Readonly<Record<string, Fact>>>>
  /**
   * It stands for all commands that say more: a condition that asks for what isn't said holds for what allows, and not
   * for anything else. For asking what may be let pass at all, never for what is about to run.
   */
  readonly incomplete?: true
  /**
   * What of it is still to be found out, as conditions ask for it: `actions`, `k8s.images`. A condition that asks for one of
   * them holds for what denies, holds or alerts, and not for what allows. For asking whether it has to be found out, never
   * for what is about to run.
   */
  readonly unsettled?: readonly string[]
}

/** The catalogue as the earlier statements of the same text will have left it. */
import type { Cast, Catalogue, FunctionInfo, OperatorInfo, Relation, TypeInfo } from '../catalogue/types.ts'

/** OIDs that no real object has; they only tell drafts apart. */
let nextOid = -1

export class DraftCatalogue implements Catalogue {
  /** Something changed that is not followed: nothing can be looked up any more. */
  uncertain = false
  /** Some earlier statement of the text made or dropped something. */
  changed = false
  readonly #base: Catalogue
  readonly #relations = new Map<string, Relation | null>()

  constructor(base: Catalogue) {
    this.#base = base
  }

  createTable(schema: string, name: string, columns: readonly string[], temporary: boolean): void {
    const relation: Relation = {
      oid: nextOid--,
      schema,
      name,
      kind: 'table',
      temporary,
      columns: columns.map((column, index) => ({ name: column, number: index + 1, typeOid: 0 })),
      keys: [],
      spreads: [],
      dependsOn: [],
      parents: [],
      children: [],
      triggers: [],
      code: [],
      rules: [],
    }
    this.changed = true
    // IF NOT EXISTS leaves a table that is there as it is
    if (!this.relation(schema, name)) this.#relations.set(`${schema}\0${name}`, relation)
  }

  dropTable(schema: string, name: string): void {
    this.changed = true
    this.#relations.set(`${schema}\0${name}`, null)
  }

  /** A transaction ends, or code runs that may end one: what was made or dropped in it, here or in earlier texts, may be undone. */
  transactionMayEnd(): void {
    if (this.changed || this.#base.ofSession) this.uncertain = true
  }

  relation(schema: string, name: string): Relation | undefined {
    const drafted = this.#relations.get(`${schema}\0${name}`)
    return drafted === null ? undefined : (drafted ?? this.#base.relation(schema, name))
  }

  get version(): string {
    return this.#base.version
  }

  get serverVersion(): number {
    return this.#base.serverVersion
  }

  get definitionSearchPath(): readonly string[] {
    return this.#base.definitionSearchPath
  }

  get ofSession(): boolean {
    return this.#base.ofSession
  }

  get reader(): string {
    return this.#base.reader
  }

  hasSchema(name: string): boolean {
    return this.#base.hasSchema(name)
  }

  relationByOid(oid: number): Relation | undefined {
    return this.#base.relationByOid(oid)
  }

  functions(schema: string, name: string): readonly FunctionInfo[] {
    return this.#base.functions(schema, name)
  }

  functionByOid(oid: number): FunctionInfo | undefined {
    return this.#base.functionByOid(oid)
  }

  operators(name: string): readonly OperatorInfo[] {
    return this.#base.operators(name)
  }

  type(schema: string, name: string): TypeInfo | undefined {
    return this.#base.type(schema, name)
  }

  typeByOid(oid: number): TypeInfo | undefined {
    return this.#base.typeByOid(oid)
  }

  casts(): readonly Cast[] {
    return this.#base.casts()
  }
}

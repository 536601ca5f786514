/**
 * What the analysis knows of a database: enough of `pg_catalog` to resolve every name in a statement and to
 * follow a value back to the table it comes from. Plain immutable data with indexed lookups.
 */

import type { Inventory } from '../../../session.ts'

export type RelationKind =
  | 'table'
  | 'partitioned'
  | 'view'
  | 'materialized'
  | 'foreign'
  | 'sequence'
  | 'composite'
  | 'index'

export interface Column {
  readonly name: string
  /** `pg_attribute.attnum`; negative for system columns. */
  readonly number: number
  readonly typeOid: number
  /** Text of a default or generation expression that calls user-defined functions; absent otherwise. */
  readonly expression?: string
}

/** A function that definitions of a relation call. */
export interface InstalledCode {
  /** Row security runs when rows are looked at, constraints and indexes when they are written. */
  readonly occasion: 'look' | 'write'
  readonly functionOid: number
}

/** A foreign key with ON DELETE or ON UPDATE actions. https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK */
export interface Spread {
  /** The relation that refers, by OID, and its columns by number. */
  readonly relation: number
  readonly columns: readonly number[]
  /** The columns that are referred to, by number. */
  readonly targetColumns: readonly number[]
  /** What becomes of rows there; absent where the key only forbids. */
  readonly onDelete?: 'delete' | 'update'
  readonly onUpdate?: 'update'
}

export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly kind: RelationKind
  readonly temporary: boolean
  readonly columns: readonly Column[]
  /** `pg_get_viewdef` of views and materialized views. */
  readonly definition?: string
  /** OIDs of the relations that the server itself holds the definition to be about (`pg_depend`), whatever its text looks like. */
  readonly dependsOn: readonly number[]
  /**
   * Columns of which the server says whether a value is there already, when it is written: those of unique indexes and of
   * exclusion constraints, by number (0: any), and those of foreign keys, with what they refer to.
   */
  readonly keys: readonly {
    readonly column: number
    readonly refersTo?: { readonly relation: number; readonly column: number }
  }[]
  /** Foreign keys of other relations by which a write here changes rows there. */
  readonly spreads: readonly Spread[]
  /** Direct inheritance or partition parents and children. */
  readonly parents: readonly number[]
  readonly children: readonly number[]
  /** Functions of enabled triggers, by OID, with the events that fire them. */
  readonly triggers: readonly {
    readonly functionOid: number
    readonly events: readonly ('insert' | 'update' | 'delete' | 'truncate')[]
  }[]
  /** What constraints, indexes and row security call, as `pg_depend` knows it. */
  readonly code: readonly InstalledCode[]
  /** Rewrite rules other than a view's own SELECT rule: `pg_get_ruledef`. */
  readonly rules: readonly string[]
}

export interface FunctionInfo {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window'
  /** `internal`, `c`, `sql`, `plpgsql`, `plpython3u` … */
  readonly language: string
  readonly volatility: 'immutable' | 'stable' | 'volatile'
  readonly securityDefiner: boolean
  readonly argumentTypes: readonly number[]
  /** Named arguments in order, all modes; empty names are ''. */
  readonly argumentNames: readonly string[]
  /** Names of OUT, INOUT and TABLE arguments, which are the columns of the result in FROM. */
  readonly outputNames: readonly string[]
  readonly minimumArguments: number
  readonly variadic: boolean
  readonly returnsSet: boolean
  readonly returnType: number
  /** Body of sql and plpgsql functions (`pg_get_functiondef` for SQL-standard bodies); absent for others. */
  readonly source?: string
  /** `SET search_path …` and the like attached to the function (`pg_proc.proconfig`). */
  readonly settings: readonly string[]
}

export interface TypeInfo {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `pg_type.typtype`. */
  readonly kind: 'base' | 'composite' | 'domain' | 'enum' | 'pseudo' | 'range' | 'multirange'
  /** `pg_type.typcategory`, one letter. */
  readonly category: string
  /** Element type of arrays, otherwise 0. */
  readonly element: number
  /** Base type of domains, otherwise 0. */
  readonly base: number
  /** `pg_class` OID of a row type, otherwise 0. */
  readonly relation: number
  /** Functions that the constraints of a domain call, by OID. */
  readonly checks: readonly number[]
}

export interface OperatorInfo {
  readonly schema: string
  readonly name: string
  readonly functionOid: number
}

export interface Cast {
  /** 0 where the value stays as it is. */
  readonly functionOid: number
  readonly source: number
  /** The type that it makes. */
  readonly target: number
  /** `pg_cast.castcontext`: whether it runs when it is asked for, when a value is stored, or whenever it helps. */
  readonly context: 'e' | 'a' | 'i'
}

export interface Catalogue {
  /** Changes whenever anything in it does; part of the key of every cached analysis. */
  readonly version: string
  /** `server_version_num`, e.g. 150018. */
  readonly serverVersion: number
  /** The search path under which the texts of views and rules are to be read: what was visible in it stands there without schema. */
  readonly definitionSearchPath: readonly string[]
  /** Read by one session for itself, with what it has not committed and what is temporary: the end of a transaction may undo it. */
  readonly ofSession: boolean
  /** Who read it: privileges are this role's. */
  readonly reader: string
  /** Whether there is such a schema that the reader may look into; others are passed over in a search path. */
  hasSchema(name: string): boolean
  /** By exact schema; `pg_temp` stands for the session's own temporary schema. */
  relation(schema: string, name: string): Relation | undefined
  relationByOid(oid: number): Relation | undefined
  /** All overloads. */
  functions(schema: string, name: string): readonly FunctionInfo[]
  functionByOid(oid: number): FunctionInfo | undefined
  operators(name: string): readonly OperatorInfo[]
  type(schema: string, name: string): TypeInfo | undefined
  typeByOid(oid: number): TypeInfo | undefined
  /** Builtin ones too. */
  casts(): readonly Cast[]
}

/** As the server has told it. */
export interface ReadCatalogue extends Catalogue, Inventory {}

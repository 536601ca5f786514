/**
 * Reads the catalogue as one JSON text, so that it can be asked on any connection by a single statement.
 *
 * Every function and operator is named with its schema: the statement may run in a session whose search_path puts
 * somebody else's functions first.
 */

/** Rows of the answer. Numbers are OIDs; the order of columns is that of the SELECTs below. */
export interface CatalogueRows {
  readonly serverVersion: number
  readonly reader: string
  readonly schemas: readonly string[]
  readonly relations: readonly [
    oid: number,
    schema: string,
    name: string,
    kind: string,
    persistence: string,
    definition: string | null,
  ][]
  readonly columns: readonly [
    relation: number,
    name: string,
    number: number,
    type: number,
    expression: string | null,
  ][]
  readonly inherits: readonly [child: number, parent: number][]
  readonly keys: readonly [relation: number, column: number, target: number, targetColumn: number][]
  readonly spreads: readonly [
    target: number,
    relation: number,
    onDelete: string,
    onUpdate: string,
    targetColumns: readonly number[],
    columns: readonly number[],
  ][]
  readonly dependencies: readonly [view: number, relation: number][]
  readonly triggers: readonly [relation: number, functionOid: number, type: number][]
  readonly rules: readonly [relation: number, definition: string][]
  readonly functions: readonly [
    oid: number,
    schema: string,
    name: string,
    kind: string,
    language: string,
    volatility: string,
    securityDefiner: boolean,
    argumentTypes: string,
    argumentNames: readonly string[] | null,
    defaults: number,
    variadic: boolean,
    returnsSet: boolean,
    returnType: number,
    source: string | null,
    settings: readonly string[] | null,
    argumentModes: readonly string[] | null,
  ][]
  readonly types: readonly [
    oid: number,
    schema: string,
    name: string,
    kind: string,
    category: string,
    element: number,
    base: number,
    relation: number,
  ][]
  readonly operators: readonly [schema: string, name: string, functionOid: number][]
  readonly casts: readonly [functionOid: number, source: number, target: number, context: 'e' | 'a' | 'i'][]
  /** Functions that something of a relation or a type calls. */
  readonly code: readonly [owner: number, occasion: 'look' | 'write' | 'type', functionOid: number][]
}

/**
 * `system`: what PostgreSQL brings along in pg_catalog and information_schema, which only changes with the server.
 * `user`: everything else that this session sees, also where it was added to these schemas.
 */
export type Scope = 'system' | 'user'

export function catalogueQuery(scope: Scope): string {
  const system = `n.nspname OPERATOR(pg_catalog.=) ANY ('{pg_catalog,information_schema}'::pg_catalog.name[])`
  const hidden = `pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast') OR (pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_') AND n.oid OPERATOR(pg_catalog.<>) pg_catalog.pg_my_temp_schema())`
  const visible = (oid: string): string => {
    const brought = `${system} AND ${oid} OPERATOR(pg_catalog.<) 16384::pg_catalog.oid`
    return scope === 'system' ? brought : `NOT (${brought} OR ${hidden})`
  }
  const schema = `CASE WHEN n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END`
  const join = (table: string, row: string, column: string): string =>
    `${table} ${row} JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) ${row}.${column} AND ${visible(`${row}.oid`)}`
  const relations = join('pg_catalog.pg_class', 'c', 'relnamespace')
  const viewDefinition =
    scope === 'system'
      ? 'NULL'
      : `CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::"char"[]) THEN pg_catalog.pg_get_viewdef(c.oid) END`
  const source =
    scope === 'system'
      ? 'NULL'
      : `CASE WHEN l.lanname OPERATOR(pg_catalog.=) ANY ('{sql,plpgsql}'::pg_catalog.name[]) AND p.prokind OPERATOR(pg_catalog.=) ANY ('{f,p}'::"char"[]) THEN pg_catalog.pg_get_functiondef(p.oid) END`
  const parts: readonly (readonly [name: string, row: string, from: string])[] = [
    [
      'relations',
      `c.oid::pg_catalog.int8, ${schema}, c.relname, c.relkind, c.relpersistence, ${viewDefinition}`,
      `${relations} WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S,c}'::"char"[])`,
    ],
    [
      'columns',
      `a.attrelid::pg_catalog.int8, a.attname, a.attnum, a.atttypid::pg_catalog.int8, pg_catalog.pg_get_expr(d.adbin, d.adrelid)`,
      `${relations} JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S,c}'::"char"[])`,
    ],
    [
      'inherits',
      'i.inhrelid::pg_catalog.int8, i.inhparent::pg_catalog.int8',
      `${relations} JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) c.oid`,
    ],
    [
      'keys',
      'k.relation::pg_catalog.int8, k.number, k.target::pg_catalog.int8, k.target_number',
      `${relations} JOIN (
        SELECT i.indrelid AS relation, u.number, 0::pg_catalog.oid AS target, 0::pg_catalog.int2 AS target_number
          FROM pg_catalog.pg_index i, LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[]) u (number) WHERE i.indisunique OR i.indisexclusion
        UNION ALL
        SELECT f.conrelid, u.number, f.confrelid, u.target_number
          FROM pg_catalog.pg_constraint f, LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) u (number, target_number) WHERE f.contype OPERATOR(pg_catalog.=) 'f'::"char"
      ) k ON k.relation OPERATOR(pg_catalog.=) c.oid WHERE ${scope === 'user'}`,
    ],
    [
      'spreads',
      'f.confrelid::pg_catalog.int8, f.conrelid::pg_catalog.int8, f.confdeltype, f.confupdtype, f.confkey::pg_catalog.int4[], f.conkey::pg_catalog.int4[]',
      `${relations} JOIN pg_catalog.pg_constraint f ON f.confrelid OPERATOR(pg_catalog.=) c.oid AND f.contype OPERATOR(pg_catalog.=) 'f'::"char" WHERE ${scope === 'user'}`,
    ],
    [
      'dependencies',
      'r.ev_class::pg_catalog.int8, d.refobjid::pg_catalog.int8',
      `${relations} JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.rulename OPERATOR(pg_catalog.=) '_RETURN'::pg_catalog.name JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) r.oid AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid OPERATOR(pg_catalog.<>) c.oid WHERE ${scope === 'user'}`,
    ],
    [
      'triggers',
      't.tgrelid::pg_catalog.int8, t.tgfoid::pg_catalog.int8, t.tgtype',
      `${relations} JOIN pg_catalog.pg_trigger t ON t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'::"char"`,
    ],
    [
      'rules',
      'r.ev_class::pg_catalog.int8, pg_catalog.pg_get_ruledef(r.oid)',
      `${relations} JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.rulename OPERATOR(pg_catalog.<>) '_RETURN'::pg_catalog.name WHERE ${scope === 'user'}`,
    ],
    [
      'functions',
      `p.oid::pg_catalog.int8, ${schema}, p.proname, p.prokind, l.lanname, p.provolatile, p.prosecdef, p.proargtypes::pg_catalog.text, p.proargnames, p.pronargdefaults, p.provariadic OPERATOR(pg_catalog.<>) 0::pg_catalog.oid, p.proretset, p.prorettype::pg_catalog.int8, ${source}, p.proconfig, p.proargmodes`,
      `${join('pg_catalog.pg_proc', 'p', 'pronamespace')} JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang`,
    ],
    [
      'types',
      `t.oid::pg_catalog.int8, ${schema}, t.typname, t.typtype, t.typcategory, t.typelem::pg_catalog.int8, t.typbasetype::pg_catalog.int8, t.typrelid::pg_catalog.int8`,
      join('pg_catalog.pg_type', 't', 'typnamespace'),
    ],
    [
      'code',
      'x.owner::pg_catalog.int8, x.occasion, coalesce(o.oprcode::pg_catalog.oid, d.refobjid)::pg_catalog.int8',
      `(
        SELECT k.conrelid AS owner, 'write' AS occasion, 'pg_catalog.pg_constraint'::pg_catalog.regclass AS class, k.oid
          FROM pg_catalog.pg_constraint k WHERE k.contypid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
        UNION ALL
        SELECT k.contypid, 'type', 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid
          FROM pg_catalog.pg_constraint k WHERE k.contypid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
        UNION ALL
        SELECT i.indrelid, 'write', 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid FROM pg_catalog.pg_index i
        UNION ALL
        SELECT p.polrelid, 'look', 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_policy p
      ) x JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) x.class AND d.objid OPERATOR(pg_catalog.=) x.oid
        AND d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass]::pg_catalog.oid[])
        LEFT JOIN pg_catalog.pg_operator o ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid OPERATOR(pg_catalog.=) d.refobjid
        WHERE ${scope === 'user'}`,
    ],
    [
      'operators',
      `${schema}, o.oprname, o.oprcode::pg_catalog.oid::pg_catalog.int8`,
      `${join('pg_catalog.pg_operator', 'o', 'oprnamespace')} WHERE ${scope === 'user'}`,
    ],
  ]
  const arrays = parts.map(
    ([name, row, from]) =>
      `'${name}', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(${row})) FROM ${from})`,
  )
  return `SELECT pg_catalog.json_build_object(
    'serverVersion', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
    'reader', current_user,
    'schemas', (SELECT pg_catalog.json_agg(${schema}) FROM pg_catalog.pg_namespace n WHERE ${visible('n.oid')} AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')),
    'casts', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.castfunc::pg_catalog.int8, c.castsource::pg_catalog.int8, c.casttarget::pg_catalog.int8, c.castcontext)) FROM pg_catalog.pg_cast c WHERE c.oid OPERATOR(pg_catalog.${scope === 'user' ? '>=' : '<'}) 16384::pg_catalog.oid),
    ${arrays.join(',\n    ')})::pg_catalog.text`
}

/** Changes whenever a definition does; far cheaper than reading them. */
export const fingerprintQuery = `SELECT pg_catalog.concat_ws(',', ${[
  'pg_class',
  'pg_attribute',
  'pg_proc',
  'pg_rewrite',
  'pg_inherits',
  'pg_trigger',
  'pg_type',
  'pg_cast',
  'pg_operator',
  'pg_namespace',
  'pg_attrdef',
  'pg_auth_members',
  'pg_constraint',
  'pg_policy',
]
  .map(
    (table) =>
      `(SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(xmin::pg_catalog.text::pg_catalog.int8)) FROM pg_catalog.${table})`,
  )
  .join(', ')})`

/**
 * Names and rows of relations, as ANALYZE and VACUUM have counted them last; what they have not looked at yet is left out.
 * https://www.postgresql.org/docs/current/catalog-pg-class.html
 */
export const sizesQuery = `SELECT pg_catalog.json_agg(pg_catalog.json_build_array(pg_catalog.concat_ws('.', n.nspname, c.relname), c.reltuples))
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE c.reltuples OPERATOR(pg_catalog.>) 0`

/** @throws SyntaxError when the server's answer is not what was asked. */
export function parseCatalogueRows(json: string): CatalogueRows {
  const rows = JSON.parse(json) as Record<string, unknown>
  for (const name of [
    'schemas',
    'relations',
    'columns',
    'inherits',
    'keys',
    'spreads',
    'dependencies',
    'triggers',
    'rules',
    'functions',
    'types',
    'operators',
    'casts',
    'code',
  ])
    rows[name] ??= []
  return rows as unknown as CatalogueRows
}

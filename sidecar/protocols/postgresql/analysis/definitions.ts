/** Statements that make, change, remove or hand out objects. */
import type { RangeVar } from 'libpg-query'
import type { SqlAction } from './actions.ts'
import { definedBody } from './bodies.ts'
import { expression } from './expressions.ts'
import { newPath, objectNames, objectPath, relationPath } from './object-paths.ts'
import { definitionScope, scanDefinition } from './scan-definition.ts'
import { type StatementHandler, type StatementTable, statement } from './statement.ts'
import {
  alterRelationOrObject,
  alterTable,
  changed,
  createTable,
  drop,
  grant,
  kindOf,
  rename,
} from './tables.ts'
import { is, strings, type Tag } from './tree.ts'
import { constant } from './value.ts'

/** Makes a handler for a statement about one object. */
function define<Name extends Tag>(
  action: SqlAction,
  kind: string,
  path: (body: Parameters<StatementHandler<Name>>[1]) => readonly string[] | RangeVar | undefined,
): StatementHandler<Name> {
  return (findings, body) => {
    const named = path(body)
    findings.touch(
      action,
      kind,
      named === undefined
        ? ['*']
        : Array.isArray(named)
          ? objectPath(findings, named, kind)
          : relationPath(findings, named as RangeVar),
    )
    changed(findings)
    scanDefinition(
      findings,
      body,
      definitionScope(findings, body as { relation?: RangeVar; table?: RangeVar }),
    )
    return undefined
  }
}

/**
 * An object through which functions run where no call of them stands: a cast, an aggregate, a comparison. What exists was
 * made by the owner and is trusted; what the agent makes could carry anything, so its making can't be judged.
 */
function behindNames<Name extends Tag>(
  kind: string,
  runsFunctions: (body: Parameters<StatementHandler<Name>>[1]) => boolean,
  handler: StatementHandler<Name>,
): StatementHandler<Name> {
  return (findings, body, scope, text) => {
    if (runsFunctions(body)) findings.opaque(`${kind} runs functions where no call of them stands`)
    return handler(findings, body, scope, text)
  }
}

const always = (): boolean => true

const one = (name: string | undefined): readonly string[] | undefined =>
  name === undefined ? undefined : [name]

export const definitions: StatementTable = {
  CreateStmt: createTable,
  CreateForeignTableStmt(findings, { base }) {
    findings.touch('sql:remote', 'table', ['foreign'])
    return base && createTable(findings, base)
  },
  IndexStmt(findings, body) {
    findings.touch('sql:create', 'index', body.relation ? relationPath(findings, body.relation) : ['*'])
    const scope = definitionScope(findings, body)
    // that values are unique is something to learn about them, and so is the order that an index brings rows into
    for (const node of body.indexParams ?? []) {
      const name = is(node, 'IndexElem') ? node.IndexElem.name : undefined
      if (name !== undefined) findings.indirect(scope.column(name) ?? constant, 'an index')
    }
    scanDefinition(findings, body, scope)
    return undefined
  },
  ViewStmt(findings, { view, query }, scope, text) {
    findings.touch('sql:create', 'view', view ? newPath(findings, view) : ['*'])
    changed(findings, view?.relpersistence === 't')
    if (query) statement(findings, query, scope, text)
    return undefined
  },
  CreateFunctionStmt(findings, body, _scope, text) {
    const path = objectPath(findings, strings(body.funcname), 'function')
    findings.touch('sql:create', body.is_procedure ? 'procedure' : 'function', path)
    definedBody(findings, body, text, `the function ${path.join('.')}`)
    changed(findings)
    return undefined
  },
  RuleStmt(findings, { relation, whereClause, actions = [] }, _scope, text) {
    findings.touch('sql:create', 'rule', relation ? relationPath(findings, relation) : ['*'])
    const scope = definitionScope(findings, { relation })
    if (whereClause) findings.indirect(expression(findings, whereClause, scope), 'a rule')
    for (const node of actions)
      for (const column of statement(findings, node, scope, text)) findings.indirect(column.value, 'a rule')
    changed(findings)
    return undefined
  },
  CreateTrigStmt: define('sql:create', 'trigger', ({ relation }) => relation),
  CreateEventTrigStmt: behindNames(
    'an event trigger',
    always,
    define('sql:create', 'event trigger', ({ trigname }) => one(trigname)),
  ),
  CreatePolicyStmt: define('sql:create', 'policy', ({ table }) => table),
  CreateSchemaStmt(findings, { schemaname, schemaElts = [] }, scope, text) {
    findings.touch('sql:create', 'schema', [schemaname ?? '*'])
    for (const node of schemaElts) statement(findings, node, scope, text)
    changed(findings)
    return undefined
  },
  CreateSeqStmt: define('sql:create', 'sequence', ({ sequence }) => sequence),
  CreateDomainStmt: define('sql:create', 'domain', ({ domainname }) => strings(domainname)),
  CreateEnumStmt: define('sql:create', 'type', ({ typeName }) => strings(typeName)),
  CreateRangeStmt: behindNames(
    'a range type',
    ({ params = [] }) => params.some((node) => !is(node, 'DefElem') || node.DefElem.defname !== 'subtype'),
    define('sql:create', 'type', ({ typeName }) => strings(typeName)),
  ),
  CompositeTypeStmt: define('sql:create', 'type', ({ typevar }) => typevar),
  // a custom operator's function is looked at wherever the operator stands
  DefineStmt: behindNames(
    'the object',
    ({ kind }) => kind !== 'OBJECT_OPERATOR' && kind !== 'OBJECT_COLLATION',
    define('sql:create', 'object', ({ defnames }) => strings(defnames)),
  ),
  CreateCastStmt: behindNames(
    'a cast',
    always,
    define('sql:create', 'cast', () => undefined),
  ),
  CreateConversionStmt: behindNames(
    'a conversion',
    always,
    define('sql:create', 'conversion', ({ conversion_name: name }) => strings(name)),
  ),
  CreateOpClassStmt: behindNames(
    'an operator class',
    always,
    define('sql:create', 'operator class', ({ opclassname }) => strings(opclassname)),
  ),
  CreateOpFamilyStmt: define('sql:create', 'operator family', ({ opfamilyname }) => strings(opfamilyname)),
  CreatePLangStmt: define('sql:create', 'language', ({ plname }) => one(plname)),
  CreateTransformStmt: behindNames(
    'a transform',
    always,
    define('sql:create', 'transform', () => undefined),
  ),
  CreateStatsStmt: define('sql:create', 'statistics', ({ defnames }) => strings(defnames)),
  CreateAmStmt: define('sql:create', 'access method', ({ amname }) => one(amname)),
  CreateExtensionStmt: define('sql:create', 'extension', ({ extname }) => one(extname)),
  CreatedbStmt: define('sql:create', 'database', ({ dbname }) => one(dbname)),
  CreateRoleStmt: define('sql:create', 'role', ({ role }) => one(role)),
  CreateTableSpaceStmt: define('sql:create', 'tablespace', ({ tablespacename }) => one(tablespacename)),
  CreateFdwStmt: define('sql:remote', 'foreign data wrapper', ({ fdwname }) => one(fdwname)),
  CreateForeignServerStmt: define('sql:remote', 'server', ({ servername }) => one(servername)),
  CreateUserMappingStmt: define('sql:remote', 'user mapping', ({ servername }) => one(servername)),
  ImportForeignSchemaStmt: define('sql:remote', 'schema', ({ local_schema: name }) => one(name)),
  CreatePublicationStmt: define('sql:replicate', 'publication', ({ pubname }) => one(pubname)),
  CreateSubscriptionStmt: define('sql:replicate', 'subscription', ({ subname }) => one(subname)),

  AlterTableStmt: alterTable,
  RenameStmt: rename,
  AlterObjectSchemaStmt: (findings, { relation, object, objectType }) =>
    void alterRelationOrObject(findings, relation, object, objectType),
  AlterOwnerStmt: (findings, { relation, object, objectType }) =>
    void alterRelationOrObject(findings, relation, object, objectType),
  AlterObjectDependsStmt: define('sql:alter', 'object', () => undefined),
  AlterDomainStmt: define('sql:alter', 'domain', ({ typeName }) => strings(typeName)),
  AlterEnumStmt: define('sql:alter', 'type', ({ typeName }) => strings(typeName)),
  AlterTypeStmt: define('sql:alter', 'type', ({ typeName }) => strings(typeName)),
  AlterFunctionStmt: define('sql:alter', 'function', ({ func }) => strings(func?.objname)),
  AlterSeqStmt: define('sql:alter', 'sequence', ({ sequence }) => sequence),
  AlterPolicyStmt: define('sql:alter', 'policy', ({ table }) => table),
  AlterDatabaseStmt: define('sql:alter', 'database', ({ dbname }) => one(dbname)),
  AlterDatabaseSetStmt: define('sql:alter', 'database', ({ dbname }) => one(dbname)),
  AlterDatabaseRefreshCollStmt: define('sql:alter', 'database', ({ dbname }) => one(dbname)),
  AlterRoleStmt: define('sql:alter', 'role', ({ role }) => one(role?.rolename)),
  AlterRoleSetStmt: define('sql:alter', 'role', ({ role }) => one(role?.rolename)),
  AlterSystemStmt: define('sql:alter', 'server', ({ setstmt }) => one(setstmt?.name)),
  AlterDefaultPrivilegesStmt: define('sql:grant', 'default privileges', () => undefined),
  AlterExtensionStmt: define('sql:alter', 'extension', ({ extname }) => one(extname)),
  AlterExtensionContentsStmt: define('sql:alter', 'extension', ({ extname }) => one(extname)),
  AlterCollationStmt: define('sql:alter', 'collation', ({ collname }) => strings(collname)),
  AlterEventTrigStmt: define('sql:alter', 'event trigger', ({ trigname }) => one(trigname)),
  AlterOperatorStmt: define('sql:alter', 'operator', () => undefined),
  AlterOpFamilyStmt: define('sql:alter', 'operator family', ({ opfamilyname }) => strings(opfamilyname)),
  AlterStatsStmt: define('sql:alter', 'statistics', ({ defnames }) => strings(defnames)),
  AlterTSConfigurationStmt: define('sql:alter', 'text search configuration', ({ cfgname }) =>
    strings(cfgname),
  ),
  AlterTSDictionaryStmt: define('sql:alter', 'text search dictionary', ({ dictname }) => strings(dictname)),
  AlterTableMoveAllStmt: define('sql:alter', 'tablespace', ({ orig_tablespacename: name }) => one(name)),
  AlterTableSpaceOptionsStmt: define('sql:alter', 'tablespace', ({ tablespacename }) => one(tablespacename)),
  ReplicaIdentityStmt: define('sql:alter', 'table', () => undefined),
  AlterFdwStmt: define('sql:remote', 'foreign data wrapper', ({ fdwname }) => one(fdwname)),
  AlterForeignServerStmt: define('sql:remote', 'server', ({ servername }) => one(servername)),
  AlterUserMappingStmt: define('sql:remote', 'user mapping', ({ servername }) => one(servername)),
  AlterPublicationStmt: define('sql:replicate', 'publication', ({ pubname }) => one(pubname)),
  AlterSubscriptionStmt: define('sql:replicate', 'subscription', ({ subname }) => one(subname)),

  DropStmt: drop,
  DropdbStmt: define('sql:drop', 'database', ({ dbname }) => one(dbname)),
  DropRoleStmt(findings, { roles = [] }) {
    for (const node of roles)
      findings.touch('sql:drop', 'role', [is(node, 'RoleSpec') ? (node.RoleSpec.rolename ?? '*') : '*'])
    return undefined
  },
  DropOwnedStmt: define('sql:drop', 'owned objects', () => undefined),
  ReassignOwnedStmt: define('sql:alter', 'owned objects', () => undefined),
  DropTableSpaceStmt: define('sql:drop', 'tablespace', ({ tablespacename }) => one(tablespacename)),
  DropUserMappingStmt: define('sql:remote', 'user mapping', ({ servername }) => one(servername)),
  DropSubscriptionStmt: define('sql:replicate', 'subscription', ({ subname }) => one(subname)),

  GrantStmt: grant,
  GrantRoleStmt(findings, { granted_roles: roles = [], is_grant: isGrant }) {
    for (const node of roles)
      findings.touch(isGrant ? 'sql:grant' : 'sql:revoke', 'role', [
        is(node, 'AccessPriv') ? (node.AccessPriv.priv_name ?? '*') : '*',
      ])
    changed(findings)
    return undefined
  },
  CommentStmt: (findings, { object, objtype }) =>
    void findings.touch(
      'sql:comment',
      kindOf(objtype),
      objectPath(findings, objectNames(object), kindOf(objtype)),
    ),
  SecLabelStmt: (findings, { object, objtype }) =>
    void findings.touch(
      'sql:securityLabel',
      kindOf(objtype),
      objectPath(findings, objectNames(object), kindOf(objtype)),
    ),
}

/** The closed vocabulary of what SQL does. Policies are written in these words. */

export const sqlActions = {
  'sql:select': 'reads rows of a relation, or a sequence',
  'sql:insert': 'adds rows, by INSERT, MERGE or COPY FROM',
  'sql:update': 'changes rows',
  'sql:delete': 'removes rows',
  'sql:truncate': 'empties a table',
  'sql:create': 'makes any kind of object',
  'sql:alter': 'changes or renames any kind of object, role or server setting',
  'sql:drop': 'removes any kind of object',
  'sql:comment': 'describes an object',
  'sql:grant': 'gives rights',
  'sql:revoke': 'takes rights',
  'sql:call': 'runs a function or procedure that is not built in',
  'sql:execute': 'runs a block of code (DO)',
  'sql:readFile': 'reads files of the server',
  'sql:writeFile': 'writes files of the server',
  'sql:program': 'runs a program on the server',
  'sql:set': 'changes a setting of the session',
  'sql:setRole': 'becomes another role',
  'sql:show': 'shows a setting',
  'sql:transaction': 'begins, ends or marks a transaction',
  'sql:prepareTransaction': 'takes part in a two-phase commit',
  'sql:session': 'keeps house: cursors, prepared statements, DISCARD',
  'sql:lock': 'takes locks on rows, tables or advisory keys',
  'sql:listen': 'listens for notifications',
  'sql:notify': 'sends notifications',
  'sql:sleep': 'waits on the server',
  'sql:maintain': 'VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH, CHECKPOINT',
  'sql:sequence': 'moves a sequence',
  'sql:activity': 'looks at other sessions',
  'sql:administer': 'signals sessions, reloads, rotates, resets',
  'sql:replicate': 'replication: connections, slots, publications, subscriptions',
  'sql:largeObject': 'reads or writes large objects',
  'sql:remote': 'foreign servers, user mappings and what reaches out',
  'sql:load': 'loads a library',
  'sql:securityLabel': 'labels objects',
  'sql:functionCall': 'the FunctionCall message of the protocol',
} as const

/** What comes with having a session at all. */
export const baselineSqlActions: readonly SqlAction[] = ['sql:show', 'sql:transaction', 'sql:session']

/** What names the columns that it touches. */
export const columnSqlActions: readonly SqlAction[] = ['sql:select', 'sql:insert', 'sql:update']

export type SqlAction = keyof typeof sqlActions

/** The closed vocabulary of what conditions may ask of an SQL command, as `command.sql.<name>`. */
import type { Fact } from '@firebreak/policy'

export const sqlFacts = {
  kind: 'the kind of statement, as PostgreSQL calls it, in lower case: `select`, `update`, `index`, `dropdb` …',
  restricted: 'whether a restriction that is none in name only keeps it from all rows',
  tables: 'the tables that it touches, as `schema.table`',
  schemas: 'their schemas',
  functions: 'the functions that it calls',
  joins: 'how many joins it has',
  limited: 'whether it has a LIMIT',
  limit: 'the LIMIT, where it is a number; absent otherwise',
} as const

export type SqlFacts = Partial<Record<keyof typeof sqlFacts, Fact>>

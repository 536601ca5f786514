/** Commands as OpenTelemetry's conventions have them. https://opentelemetry.io/docs/specs/semconv/db/postgresql/ */
import type { Command } from '@firebreak/policy'
import type { TraceLanguage } from '../../traces/language.ts'
import { claimedTraceParent } from './analysis/commenter.ts'

export const sqlSpans: TraceLanguage = {
  claimedParent: claimedTraceParent,
  describe,
  textAttribute: 'db.query.text',
  status: ({ error }) => ({ 'db.response.status_code': error?.code }),
  rowsAttribute: 'db.response.returned_rows',
}

/** Where it is about one table, that is named; of several only what is done with them. */
function describe({ facts }: Command): ReturnType<TraceLanguage['describe']> {
  const { kind, tables } = facts.sql ?? {}
  const operation = typeof kind === 'string' ? kind.toUpperCase() : 'SQL'
  const table = Array.isArray(tables) && tables.length === 1 ? String(tables[0]) : undefined
  return {
    name: table === undefined ? operation : `${operation} ${table}`,
    attributes: {
      'db.system.name': 'postgresql',
      'db.operation.name': operation,
      ...(table !== undefined && { 'db.collection.name': table }),
    },
  }
}

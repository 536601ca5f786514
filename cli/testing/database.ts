/** What a schema written in SQL makes of an empty database: PostgreSQL itself says, in WebAssembly, in memory. */
import { type Catalogue, readCatalogue } from '@firebreak/sidecar'

export type SchemaResult =
  | { readonly ok: true; readonly catalogue: Catalogue }
  /** `line` and `column` count from 1, where the server says where it is. */
  | { readonly ok: false; readonly message: string; readonly line?: number; readonly column?: number }

export class Databases implements AsyncDisposable {
  /** Making one is the slow part; each schema gets a copy. */
  #empty: Promise<Database> | undefined
  readonly #bySql = new Map<string, Promise<SchemaResult>>()

  /** The same text is run once. */
  catalogueOf(sql: string): Promise<SchemaResult> {
    const known = this.#bySql.get(sql)
    if (known) return known
    const read = this.#read(sql)
    this.#bySql.set(sql, read)
    return read
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#empty)?.close()
  }

  async #read(sql: string): Promise<SchemaResult> {
    this.#empty ??= start()
    const database = (await (await this.#empty).clone()) as Database
    try {
      await database.exec(withoutMetaCommands(sql))
      // whatever the text did to its session
      await database.exec('ROLLBACK; RESET ROLE; SET search_path TO pg_catalog')
      const catalogue = await readCatalogue(async (text) => {
        const { rows } = await database.query<[string]>(text, [], { rowMode: 'array' })
        return rows[0]?.[0] ?? ''
      })
      return { ok: true, catalogue }
    } catch (error) {
      return refused(sql, error)
    } finally {
      await database.close()
    }
  }
}

type Database = Awaited<ReturnType<typeof start>>

async function start() {
  const { PGlite } = await import('@electric-sql/pglite')
  return await PGlite.create()
}

/** pg_dump writes `\restrict` and `\unrestrict`, which are psql's. What follows keeps its place. */
function withoutMetaCommands(sql: string): string {
  return sql.replace(/^\\(un)?restrict .*$/gm, (line) => '-'.repeat(line.length))
}

function refused(sql: string, error: unknown): SchemaResult {
  const { message, position } = error as { message: string; position?: string }
  if (position === undefined) return { ok: false, message }
  const before = [...sql].slice(0, Number(position) - 1).join('')
  const lines = before.split('\n')
  return { ok: false, message, line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 }
}

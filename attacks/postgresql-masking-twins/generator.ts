/** Random statements over `schema.sql`, of what `grammar.yaml` knows. */
import { readFileSync } from 'node:fs'
import fc, { type GeneratorValue } from 'fast-check'
import { parse } from 'yaml'

type Templates = Readonly<Record<string, readonly string[]>>

interface Grammar {
  readonly literals: Templates
  readonly functions: Templates
  readonly aggregates: Templates
  readonly sources: readonly string[]
  readonly copy: readonly string[]
}

const grammar = parse(readFileSync(new URL('grammar.yaml', import.meta.url), 'utf8')) as Grammar

/** Columns by type: those that everybody may see, and those that are masked. */
interface Table {
  readonly open: Templates
  readonly masked: Templates
}

const tables: Readonly<Record<string, Table>> = {
  person: {
    open: {
      text: ['name'],
      int: ['id'],
      num: ['score'],
      date: ['born'],
      texts: ['tags'],
      json: ['info'],
    },
    masked: {
      text: ['mtext', 'mpart', 'mvar', 'mchar', 'mcode'],
      int: ['msmall', 'mint', 'mbig'],
      num: ['mnum', 'mfloat'],
      bool: ['mbool'],
      date: ['mdate'],
      stamp: ['mstamp'],
      gap: ['mgap'],
      uuid: ['muuid'],
      json: ['mjson', 'mdoc'],
      bytes: ['mbytes'],
      addr: ['maddr'],
      texts: ['mlist'],
      ints: ['mints'],
      mood: ['mmood'],
      any: ['mspan', 'mpoint'],
    },
  },
  visit: {
    open: { text: ['place'], int: ['id', 'person'] },
    masked: { text: ['mnote'], int: ['mcost'] },
  },
  people: { open: { text: ['called'], int: ['id'] }, masked: { text: ['hidden', 'loud'], int: ['more'] } },
  tall: { open: { text: ['place'], int: ['id'] }, masked: { text: ['note'] } },
  child: { open: { text: ['label'], int: ['id'] }, masked: { text: ['mextra'] } },
  base: { open: { text: ['label'], int: ['id'] }, masked: {} },
  parts: { open: { int: ['id'] }, masked: { int: ['mpay'] } },
}

const types = Object.keys(grammar.literals)
/** Kinds of places, by how many of a hundred columns in them are masked. */
const shown = 60
const used = 8

interface Range {
  readonly alias: string
  readonly table: Table
}

class StatementGenerator {
  readonly #gen: GeneratorValue
  #ranges: Range[] = []
  #maskedShare = shown

  constructor(gen: GeneratorValue) {
    this.#gen = gen
  }

  /** A whole session: one statement, or several that belong together. */
  statements(): string[] {
    const query = (): string => this.query(1)
    const forms: (() => string[])[] = [
      ...Array.from({ length: 8 }, () => () => [query()]),
      () => [`COPY (${query()}) TO STDOUT ${this.#pick(grammar.copy)}`],
      () => [`COPY (${query()}) TO STDOUT ${this.#pick(grammar.copy)}`],
      () => [
        `COPY ${this.#pick(['person', 'visit', 'child', 'parts'])} TO STDOUT ${this.#pick(grammar.copy)}`,
      ],
      () => [`DECLARE c CURSOR FOR ${query()}`, 'FETCH 2 FROM c', 'MOVE 1 FROM c', 'FETCH ALL FROM c'],
      () => [`DECLARE c CURSOR WITH HOLD FOR ${query()}`, 'COMMIT', 'FETCH ALL FROM c', 'CLOSE c'],
      () => [`PREPARE p AS ${query()}`, 'EXECUTE p', 'DEALLOCATE p'],
      () => [`CREATE TEMP TABLE t AS ${query()}`, 'SELECT * FROM t'],
      () => [`CREATE TEMP VIEW t AS ${query()}`, 'SELECT * FROM t', 'SELECT count(*) FROM t'],
      () => [
        `EXPLAIN (${this.#pick(['COSTS OFF', 'COSTS OFF, VERBOSE', 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF'])}) ${query()}`,
      ],
      () => [this.#update()],
      () => [this.#delete()],
      () => [this.#insert()],
      () => [this.#merge()],
    ]
    return this.#pick(forms)()
  }

  query(depth: number): string {
    const before = this.#ranges
    this.#ranges = []
    const withs = depth > 0 && this.#chance(15) ? this.#with(depth) : ''
    const from = this.#from(depth)
    const grouped = this.#chance(25)
    const body = grouped ? this.#grouped() : this.#plain()
    const where = this.#chance(30) ? ` WHERE ${this.#using('bool')}` : ''
    let text = `SELECT ${body.targets} FROM ${from}${where}${body.tail}`
    if (depth > 0 && this.#chance(8)) {
      const operator = this.#pick(['UNION ALL', 'UNION', 'EXCEPT', 'INTERSECT'])
      text = `(${text}) ${operator} (${text})`
    } else if (this.#chance(60))
      text += ` ORDER BY ${this.#chance(90) && !grouped ? this.#using('int') : '1'}`
    if (this.#chance(15)) text += ` LIMIT ${this.#chance(80) ? '2' : `(SELECT ${this.#using('int')})`}`
    this.#ranges = before
    return withs + text
  }

  #plain(): { targets: string; tail: string } {
    const targets = Array.from({ length: 1 + this.#below(4) }, () => this.#target())
    const distinct = this.#chance(5) ? 'DISTINCT ' : ''
    return { targets: distinct + targets.join(', '), tail: '' }
  }

  #grouped(): { targets: string; tail: string } {
    const key = this.#using(this.#pick(['text', 'int', 'date']))
    const aggregates = Array.from({ length: 1 + this.#below(3) }, () => this.#aggregate())
    const having = this.#chance(20)
      ? ` HAVING ${this.#fill(this.#pick(grammar.aggregates.bool ?? []), 1)}`
      : ''
    if (this.#chance(40)) return { targets: aggregates.join(', '), tail: having }
    const kind = this.#pick(['%', '%', '%', 'ROLLUP (%)', 'GROUPING SETS ((%), ())'])
    return { targets: [key, ...aggregates].join(', '), tail: ` GROUP BY ${kind.replace('%', key)}${having}` }
  }

  #aggregate(): string {
    return this.#fill(this.#pick(grammar.aggregates[this.#pick(Object.keys(grammar.aggregates))] ?? []), 1)
  }

  #target(): string {
    const range = this.#pick(this.#ranges)
    if (this.#chance(6)) return `${range.alias}.*`
    if (this.#chance(6)) return range.alias
    const odd = range.table.masked.any
    if (odd && this.#chance(5)) return `${range.alias}.${this.#pick(odd)}`
    return this.expression(this.#pick(types), 1 + this.#below(2))
  }

  #with(depth: number): string {
    const name = this.#pick(['c1', 'visit', 'person'])
    const inner = `SELECT id, name, mtext, mint, ${this.#pick(['mnum', 'info', 'mlist'])} FROM public.person`
    const text = this.#chance(50) ? inner : this.query(depth - 1)
    return `WITH ${name} AS ${this.#chance(20) ? 'MATERIALIZED ' : ''}(${text}) `
  }

  #from(depth: number): string {
    const names = Object.keys(tables)
    const name = this.#chance(60) ? 'person' : this.#pick(names)
    let text = this.#range(name, 'a', depth)
    if (this.#chance(30)) {
      const join = this.#pick(['JOIN', 'LEFT JOIN', 'FULL JOIN', 'RIGHT JOIN'])
      text += ` ${join} ${this.#range('visit', 'b', depth)}`
      text += this.#chance(85) ? ' ON a.id = b.id' : ` ON ${this.#using('bool')}`
    }
    if (this.#chance(25)) text += ` ${this.#fill(this.#pick(grammar.sources), 1)}`
    return text
  }

  #range(name: string, alias: string, depth: number): string {
    const table = tables[name]
    if (!table) throw new Error(`no table ${name}`)
    this.#ranges = [...this.#ranges, { alias, table }]
    if (depth > 0 && this.#chance(15))
      return `(SELECT * FROM ${name}${this.#chance(40) ? ' LIMIT 3' : ''}) ${alias}`
    return `${name} ${alias}`
  }

  #update(): string {
    this.#ranges = [{ alias: 'person', table: tables.person as Table }]
    const set = this.#pick([
      'name = name',
      `name = ${this.#using('text')}`,
      `mtext = ${this.#using('text')}`,
      `score = ${this.#using('num')}`,
    ])
    return `UPDATE person SET ${set} WHERE ${this.#chance(70) ? 'person.id = 1' : this.#using('bool')} RETURNING ${this.#target()}, ${this.#target()}`
  }

  #delete(): string {
    this.#ranges = [{ alias: 'visit', table: tables.visit as Table }]
    return `DELETE FROM visit WHERE ${this.#chance(60) ? 'id < 4' : this.#using('bool')} RETURNING ${this.#target()}`
  }

  #insert(): string {
    this.#ranges = [{ alias: 'person', table: tables.person as Table }]
    const value = this.#using('text')
    const conflict = this.#pick([
      '',
      ' ON CONFLICT DO NOTHING',
      ` ON CONFLICT (id) DO UPDATE SET place = ${this.#pick(['excluded.place', 'visit.mnote', "'x'"])}`,
    ])
    const id = this.#pick(['id + 50', 'id'])
    const insert = `INSERT INTO visit (id, ${this.#pick(['place', 'mnote'])}) SELECT ${id}, ${value} FROM person${conflict}`
    return `${insert} RETURNING ${this.#pick(['*', 'visit', 'place', 'mnote', 'upper(mnote)', 'id, mcost'])}`
  }

  #merge(): string {
    this.#ranges = [{ alias: 'person', table: tables.person as Table }]
    return `MERGE INTO visit USING person ON visit.id = person.id${this.#chance(30) ? ` AND ${this.#using('bool')}` : ''} WHEN MATCHED${this.#chance(30) ? ` AND ${this.#using('bool')}` : ''} THEN UPDATE SET place = ${this.#using('text')} WHEN NOT MATCHED THEN DO NOTHING RETURNING ${this.#target()}`
  }

  /** An expression where masked columns are rarely allowed. */
  #using(type: string): string {
    const before = this.#maskedShare
    this.#maskedShare = used
    const text = this.expression(type, 1)
    this.#maskedShare = before
    return text
  }

  expression(type: string, depth: number): string {
    const functions = grammar.functions[type] ?? []
    if (depth > 0 && functions.length > 0 && this.#chance(70))
      return this.#fill(this.#pick(functions), depth - 1)
    return this.#column(type) ?? this.#pick(grammar.literals[type] ?? ['NULL'])
  }

  #column(type: string): string | undefined {
    if (this.#chance(15)) return undefined
    const range = this.#pick(this.#ranges)
    const names = (this.#chance(this.#maskedShare) ? range.table.masked : range.table.open)[type]
    return names && `${range.alias}.${this.#pick(names)}`
  }

  #fill(template: string, depth: number): string {
    return template.replace(/\{([a-z]+)\}/g, (whole, type: string) => {
      if (type === 'row') return this.#pick(this.#ranges).alias
      return types.includes(type) ? this.expression(type, depth) : whole
    })
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)] as Item
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent
  }

  #below(limit: number): number {
    return this.#gen(fc.nat, { max: limit - 1 })
  }
}

/** Statements of one session, in order. */
export const sessions: fc.Arbitrary<readonly string[]> = fc
  .gen()
  .map((gen) => new StatementGenerator(gen).statements())

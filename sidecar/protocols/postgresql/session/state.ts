/** The state of a server session that changes what text means, as far as the gateway knows it. */

import { resolveSearchPath } from '../analysis/analyse.ts'
import type { SessionContext, SessionEffect, StatementAnalysis } from '../analysis/types.ts'
import type { CatalogueCache } from '../catalogue/cache.ts'
import { buildCatalogue } from '../catalogue/catalogue.ts'
import { catalogueQuery } from '../catalogue/query.ts'
import type { Catalogue } from '../catalogue/types.ts'

export type TransactionStatus = 'I' | 'T' | 'E'

/** Asked on the session itself, so that it is the truth of this very session. */
export const stateQuery = `SELECT pg_catalog.json_build_object(
  'path', (SELECT pg_catalog.json_agg(CASE WHEN s OPERATOR(pg_catalog.=) (SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) THEN 'pg_temp' ELSE s END ORDER BY o)
    FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY u (s, o)),
  'user', current_user,
  'strings', pg_catalog.current_setting('standard_conforming_strings'),
  'encoding', pg_catalog.current_setting('client_encoding'))::pg_catalog.text`

/** The catalogue as this session sees it, with its temporary and uncommitted objects. */
export const ownCatalogueQuery = catalogueQuery('user')

/** What has to be asked before the next text can be analysed. */
export type Question = 'state' | 'ownCatalogue' | 'sharedCatalogue'

export class SessionState implements SessionContext {
  /** Lookups of what was prepared and declared; set by the one who keeps it. */
  statement: (name: string) => StatementAnalysis | undefined = () => undefined
  cursor: (name: string) => StatementAnalysis | undefined = () => undefined
  status: TransactionStatus = 'I'
  searchPath: readonly string[] | undefined
  currentUser = ''
  standardConformingStrings = false
  clientEncoding = ''
  definitionsPending = false
  readonly #shared: CatalogueCache
  #own: Catalogue | undefined
  /** The shared catalogue when the own one was read: when it moves on, the own one is old. */
  #ownBasis: Catalogue | undefined
  #uncertain = true
  /** The shared catalogue when the search path was asked for: what it leads to depends on which schemas there are. */
  #pathBasis: Catalogue | undefined
  #definitionsChanged = false
  /** Undone by the end of the transaction, or by its rollback. */
  #changedInTransaction = false
  #hasTemporary = false
  #key: string | undefined
  /** Says that this session's definitions are settled, while they are not. */
  #settleDoubt: (() => void) | undefined
  /** What is known was confirmed while it was in doubt; good for one analysis. */
  #confirmed = false

  constructor(shared: CatalogueCache) {
    this.#shared = shared
  }

  get catalogue(): Catalogue {
    const shared = this.#shared.current
    const catalogue = this.#own ?? shared
    if (!catalogue) throw new Error('the catalogue has not been read')
    return catalogue
  }

  get searchPathMayRevert(): boolean {
    return this.#changedInTransaction
  }

  /** Tells apart all states in which a text could mean different things. */
  get key(): string {
    this.#key ??= [
      this.searchPath?.join(',') ?? '?',
      this.currentUser,
      this.standardConformingStrings,
      this.clientEncoding,
      this.#changedInTransaction,
      '',
    ].join('\0')
    return `${this.catalogue.version}\0${this.#key}`
  }

  /** What a command will have changed if it succeeds. What follows in the same pipeline only runs if it does. */
  predict(effects: readonly SessionEffect[]): void {
    for (const effect of effects) this.#predict(effect)
    this.#key = undefined
  }

  #predict(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'searchPath':
        this.searchPath = effect.schemas && resolveSearchPath(effect.schemas, this)
        this.#changedInTransaction = true
        // names of schemas that don't exist, or of the temporary one, are for the server to resolve
        this.#uncertain = true
        break
      case 'transaction':
        if (effect.step !== 'begin' && effect.step !== 'savepoint' && effect.step !== 'release')
          this.#transactionEnds()
        break
      case 'definition':
        this.#definitionsChanged = true
        this.definitionsPending = true
        this.#uncertain = true
        this.#hasTemporary ||= effect.temporary
        if (!effect.temporary) this.#settleDoubt ??= this.#shared.doubt()
        break
      case 'unknown':
        this.searchPath = undefined
        this.#uncertain = true
        break
    }
  }

  #transactionEnds(): void {
    if (this.#changedInTransaction) {
      this.searchPath = undefined
      this.#uncertain = true
    }
    if (this.#own || this.#definitionsChanged) {
      this.#definitionsChanged = true
      this.definitionsPending = true
    }
  }

  /** A command failed or was refused: what was predicted may not have happened. */
  doubt(): void {
    this.#uncertain = true
    this.searchPath = undefined
    this.#key = undefined
    if (this.#own) this.#definitionsChanged = true
  }

  /** A name is not known: it may be new. */
  catalogueInDoubt(): void {
    this.#definitionsChanged = true
  }

  /** The server says where the transaction stands. */
  ready(status: TransactionStatus): void {
    const ended = status === 'I' && this.status !== 'I'
    this.status = status
    if (ended || (status === 'I' && this.#changedInTransaction)) this.#transactionEnds()
    if (status === 'I') this.#changedInTransaction = false
    if (status === 'I' && this.#settleDoubt) this.#confirmDefinitions(this.#settleDoubt)
  }

  /** What this session has changed is committed: every other session is to see it. */
  #confirmDefinitions(settled: () => void): void {
    this.#settleDoubt = undefined
    void this.#shared.refresh().finally(settled)
  }

  /** The session is over, and with it whatever it had not committed. */
  close(): void {
    if (this.#settleDoubt) this.#confirmDefinitions(this.#settleDoubt)
  }

  /** A text has been analysed by what is known now. */
  used(): void {
    this.#confirmed = false
  }

  parameter(name: string, value: string): void {
    if (name === 'client_encoding') this.clientEncoding = value
    else if (name === 'standard_conforming_strings') this.standardConformingStrings = value === 'on'
    else return
    this.#key = undefined
  }

  /** What is to be asked now that nothing is in flight; undefined when all is known, or nothing can be asked. */
  question(): Question | undefined {
    if (this.status === 'E') return undefined
    if (this.#uncertain || this.#pathBasis !== this.#shared.current) return 'state'
    const own = this.#hasTemporary || this.status === 'T'
    if (this.#definitionsChanged) return own ? 'ownCatalogue' : 'sharedCatalogue'
    if (this.#shared.inDoubt && !this.#confirmed) return this.#own ? 'ownCatalogue' : 'sharedCatalogue'
    if (this.#own && this.#ownBasis !== this.#shared.current) return 'ownCatalogue'
    return undefined
  }

  answerState(json: string): void {
    const answer = JSON.parse(json) as {
      path: string[] | null
      user: string
      strings: string
      encoding: string
    }
    this.searchPath = answer.path ?? []
    this.currentUser = answer.user
    this.standardConformingStrings = answer.strings === 'on'
    this.clientEncoding = answer.encoding
    this.#uncertain = false
    this.#pathBasis = this.#shared.current
    this.#key = undefined
  }

  answerOwnCatalogue(json: string): void {
    this.#own = buildCatalogue(this.#shared.system, json, this.searchPath ?? [])
    this.#ownBasis = this.#shared.current
    this.#definitionsSettled()
  }

  async refreshShared(): Promise<void> {
    await this.#shared.refresh()
    this.#own = undefined
    this.#definitionsSettled()
  }

  /** The question could not be answered. */
  unanswered(question: Question): void {
    if (question === 'state') {
      this.#uncertain = true
      this.searchPath = undefined
      this.#key = undefined
    } else this.#definitionsChanged = false
  }

  #definitionsSettled(): void {
    this.#confirmed = true
    this.#definitionsChanged = false
    this.definitionsPending = false
    this.#key = undefined
  }
}

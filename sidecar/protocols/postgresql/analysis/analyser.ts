/** The analysis with its memory: the same text in the same state is analysed once. */
import { analyseText } from './analyse.ts'
import { formOf } from './template.ts'
import type { SessionContext, TextAnalysis } from './types.ts'

export interface Analysed {
  readonly statements: TextAnalysis
  /** The statements were recognised by their form: their commands carry the text of another. */
  readonly byForm: boolean
}

/** Longer texts are rarely sent twice. */
const maximumRememberedLength = 8_192
const rememberedTexts = 5_000

/** Statement kinds whose constants are all in expressions. */
const kindsWithForm = new Set(['select', 'insert', 'update', 'delete'])

export class Analyser {
  /** Oldest first. Keys are a letter, the state's key and the text or its form. */
  readonly #known = new Map<string, TextAnalysis>()

  /** @param stateKey tells apart all states in which a text could mean different things. */
  analyse(text: Buffer, context: SessionContext, stateKey: string): Analysed {
    if (text.length > maximumRememberedLength || context.definitionsPending)
      return { statements: analyseText(text, context), byForm: false }
    const latin1 = text.toString('latin1')
    const exactKey = `=${stateKey}${latin1}`
    const exact = this.#recall(exactKey)
    if (exact) return { statements: exact, byForm: false }
    const form = context.standardConformingStrings ? formOf(latin1) : undefined
    const formKey = `~${stateKey}${form}`
    const similar = form === undefined ? undefined : this.#recall(formKey)
    if (similar) return { statements: similar, byForm: true }
    const statements = analyseText(text, context)
    if (statements.some((statement) => statement.contextual)) return { statements, byForm: false }
    const hasForm =
      form !== undefined &&
      statements.every(
        (statement) =>
          !statement.consultedConstants && kindsWithForm.has(String(statement.command.facts.sql?.kind)),
      )
    this.#remember(hasForm ? formKey : exactKey, statements)
    return { statements, byForm: false }
  }

  #recall(key: string): TextAnalysis | undefined {
    return this.#known.get(key)
  }

  #remember(key: string, statements: TextAnalysis): void {
    this.#known.set(key, statements)
    if (this.#known.size <= rememberedTexts) return
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest)
      break
    }
  }
}

/** What a line may show of the text of a command. */
import { hash } from 'node:crypto'
import type { Command, SessionTerms } from '@firebreak/policy'
import { type CommandLanguage, type Described, describeCommand } from './described.ts'
import { cutText, lineLengths } from './lengths.ts'
import type { CommandLine } from './lines.ts'

export type TextPolicy = SessionTerms['audit']['text']
type CommandText = Pick<CommandLine, 'text' | 'textLeftOut' | 'digest'>

export class CommandTexts {
  readonly #language: CommandLanguage
  readonly #described = new WeakMap<Command, Described>()

  constructor(language: CommandLanguage) {
    this.#language = language
  }

  /** @returns the same object for the same command. */
  describe(command: Command): Described {
    let described = this.#described.get(command)
    if (!described) {
      described = describeCommand(command, this.#language)
      this.#described.set(command, described)
    }
    return described
  }

  /** @returns whether constants and parameters may be shown. */
  showsConstants(command: Command, policy: TextPolicy): boolean {
    return policy === 'full' && !this.describe(command).mayHoldSecret
  }

  /** @param text one of those that the command stands for. @returns undefined where none is shown. */
  shown(command: Command, policy: TextPolicy, text: string): string | undefined {
    if (this.showsConstants(command, policy)) return text
    return policy === 'digest' ? undefined : this.withoutConstants(command)
  }

  /** The same as far as a line has room for it, and what tells it from all others. */
  inLine(command: Command, policy: TextPolicy, text: string): CommandText {
    const shown = this.shown(command, policy, text)
    const cut = shown === undefined ? undefined : cutText(shown, lineLengths.text)
    const { mayHoldSecret } = this.describe(command)
    return {
      text: cut?.text,
      textLeftOut: cut?.leftOut,
      digest: hash('sha256', mayHoldSecret ? this.withoutConstants(command) : text),
    }
  }

  withoutConstants(command: Command): string {
    const described = this.describe(command)
    described.normalized ??= this.#language.normalize(command.text, command)
    return described.normalized
  }
}

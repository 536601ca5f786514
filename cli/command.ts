/** What every command of the CLI is. */
export interface CliCommand {
  readonly name: string
  /** One line for the overview. */
  readonly summary: string
  readonly help: string
  /** Long options without their dashes, for completion. */
  readonly options: readonly string[]
  /** By their names, where the first word says which of several it is. */
  readonly subcommands?: Readonly<Record<string, CliCommand>>
  /** @returns the exit code. @throws UsageError when it was called wrongly. */
  run(words: readonly string[]): Promise<number>
}

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

import type { Command } from '@firebreak/policy'
import type { Outcome } from '../session.ts'

/** What spans have to know of the commands' language. */
export interface TraceLanguage {
  /** The `traceparent` that a client has written into a command; undefined where there is none. Absent: it has no place in it. */
  readonly claimedParent?: (text: string) => string | undefined
  /**
   * A command in a few words of which there are not many, and as OpenTelemetry's conventions for its kind of system
   * have it. Holds nothing that is masked, and no constants.
   */
  readonly describe: (command: Command) => {
    readonly name: string
    readonly attributes: Readonly<Record<string, string>>
  }
  /** The attribute that the text of a command goes to, without its constants; absent: to none. */
  readonly textAttribute?: string
  /** What the target answered that it was. */
  readonly status?: (outcome: Outcome) => Readonly<Record<string, string | number | undefined>>
  /** The attribute for how much came back. */
  readonly rowsAttribute?: string
}

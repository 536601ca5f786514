/** What a kind of API asks its target before a command is decided, where the target alone knows what comes of it. */
import type { Command, Decision } from '@firebreak/policy'
import type { HeaderFields, HttpRequest } from '../request.ts'

export interface Question {
  /** The command as it can turn out to be at most, whatever the answer is. */
  readonly worst: Command
  /** What is asked, with its body. It changes nothing. */
  readonly request: HttpRequest
  /** How long the answer may be, in bytes. */
  readonly maximumAnswer: number
  understand(answer: Answer): Understood
}

export interface Answer {
  readonly status: number
  readonly headers: HeaderFields
  readonly body: Buffer
}

export type Understood =
  /** With what comes of it. */
  | {
      readonly kind: 'command'
      readonly command: Command
      /** What goes to the target instead: it does that only where nothing has changed since the answer. */
      readonly sends?: HttpRequest
    }
  /** The target wouldn't do it: its answer is that to the command as well. */
  | { readonly kind: 'refused' }
  /** Nobody knows what would come of it; why, in words that quote nothing of the answer. */
  | { readonly kind: 'unknown'; readonly why: string }

/** Whether the answer can make a difference. People who are asked are to see all that comes of a command. */
export function isOpen(
  { worst }: Question,
  decision: Decision,
  decide: (command: Command) => Decision,
): boolean {
  if (decision.effect !== 'allow') return decision.effect === 'hold'
  const { effect, alerts } = decide(worst)
  return effect !== 'allow' || alerts.length !== decision.alerts.length
}

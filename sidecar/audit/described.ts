/** What lines and recordings say of a command, made once for all of its runs. */
import { type Command, type Decision, describeTouch } from '@firebreak/policy'
import { type CutList, cutList, lineLengths } from './lengths.ts'
import type { CommandLine } from './lines.ts'

/** What the audit has to know of the commands' language. */
export interface CommandLanguage {
  /** Takes the constants out of a text; the result is the same for all texts of one {@link Command}. */
  readonly normalize: (text: string, command: Command) => string
  /** Whether a command's constants may be a password or the like, which is not to be written. */
  readonly mayHoldSecret: (command: Command) => boolean
}

/** What is the same for every run of a command. */
export interface Described {
  readonly actions: readonly string[]
  readonly objects: CutList<string>
  readonly opaque: CutList<string>
  readonly mayHoldSecret: boolean
  normalized?: string
}

export type DecidedCommand = Pick<
  CommandLine,
  | 'actions'
  | 'objects'
  | 'objectsLeftOut'
  | 'opaque'
  | 'opaqueLeftOut'
  | 'decision'
  | 'policy'
  | 'rule'
  | 'reason'
  | 'alerts'
  | 'revision'
>

export function describeCommand(command: Command, language: CommandLanguage): Described {
  const objects = command.touches.map((touch) => describeTouch(touch).slice(touch.action.length + 4))
  return {
    actions: [...new Set(command.touches.map((touch) => touch.action))],
    objects: cutList([...new Set(objects)], lineLengths.objects),
    opaque: cutList(command.opaque, lineLengths.opaque),
    mayHoldSecret: language.mayHoldSecret(command),
  }
}

export function decided(decision: Decision, { actions, objects, opaque }: Described): DecidedCommand {
  return {
    actions,
    objects: objects.values,
    objectsLeftOut: objects.leftOut,
    opaque: opaque.values.length > 0 ? opaque.values : undefined,
    opaqueLeftOut: opaque.leftOut,
    decision: decision.effect,
    policy: decision.rule?.policy,
    rule: decision.rule?.rule,
    reason: decision.effect === 'allow' ? undefined : decision.reason,
    alerts:
      decision.alerts.length > 0
        ? decision.alerts.map((alert) => `${alert.policy}/${alert.rule}`)
        : undefined,
    revision: decision.revision,
  }
}

/** `hold`, `release` and `delete`: what is to become of a recording before its time is over. */
import { parseArgs } from 'node:util'
import type { RecordingStore } from '@firebreak/sidecar/recording/store.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { openPlace, placeHelp, placeOptions } from './place.ts'

function keepCommand(
  name: string,
  summary: string,
  explanation: string,
  done: string,
  change: (store: RecordingStore, id: string, reason: string) => Promise<void>,
  needsReason: boolean,
): CliCommand {
  const reasonUsage = needsReason ? ' --reason TEXT' : ''
  return {
    name,
    summary,
    options: [...Object.keys(placeOptions), ...(needsReason ? ['reason'] : [])],
    help: `${explanation}

Usage: firebreak sessions ${name} ID…${reasonUsage} [--recordings PLACE | --config DIR | --state DIR]

${needsReason ? '  --reason TEXT     why; it stands beside the recording\n' : ''}${placeHelp}

Exit code 0: done for all. 1: one is not there, or is held.`,
    async run(words) {
      const { values, positionals } = parseArgs({
        args: [...words],
        allowPositionals: true,
        options: { ...placeOptions, ...(needsReason && { reason: { type: 'string' } }) },
      })
      const reason = typeof values.reason === 'string' ? values.reason.trim() : ''
      if (positionals.length === 0) throw new UsageError(`${name} takes names of recordings`)
      if (needsReason && reason === '') throw new UsageError(`${name} needs --reason TEXT`)
      await using store = await openPlace(values)
      for (const id of positionals) {
        await change(store, id, reason)
        console.log(`${id}: ${done}`)
      }
      return 0
    },
  }
}

export const hold = keepCommand(
  'hold',
  'keep recordings, however old',
  'Keeps recordings from being deleted until they are released, whatever retention says.',
  'held',
  (store, id, reason) => store.hold(id, reason),
  true,
)

export const release = keepCommand(
  'release',
  'let retention go on',
  'Ends a hold: retention says again how long the recordings are kept.',
  'released',
  (store, id) => store.release(id),
  false,
)

export const remove = keepCommand(
  'delete',
  'have recordings deleted',
  'Asks the runner to delete recordings before their time. It does within a minute, and says so in its audit trail.',
  'will be deleted by the runner',
  (store, id, reason) => store.askDeletion(id, reason),
  true,
)

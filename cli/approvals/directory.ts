import { join } from 'node:path'
import { UsageError } from '../command.ts'

/** The options that say where the requests of a runner are. */
export const whereOptions = { config: { type: 'string' }, state: { type: 'string' } } as const

export const whereHelp = `  --config DIR      the directory that the runner was started with; requests are in its folder approvals
  --state DIR       the runner's own --state, if it was given one (default: the variable FIREBREAK_STATE)`

export function requestDirectory(values: { config?: string; state?: string }): string {
  const directory =
    values.state ??
    (values.config === undefined ? process.env.FIREBREAK_STATE : join(values.config, 'approvals'))
  if (directory === undefined)
    throw new UsageError('--config DIR or --state DIR is needed, to find the requests')
  return directory
}

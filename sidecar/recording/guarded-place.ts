/** The place of recordings as a gateway has it: what is shown of commands, and whom it tells, are the gateway's. */
import type { Runtime } from '../runtime.ts'
import { RecordingPlace, type RecordingPlaceOptions } from './place.ts'

export type RecordingPlaceEvent =
  /** Sessions are recorded here. `keys`: where the key is that was made to read them. */
  | { readonly kind: 'recordings'; readonly place: string; readonly keys?: string }
  /** Sessions that are to be recorded are refused until it is put right. */
  | { readonly kind: 'recordingsFailed'; readonly message: string }

export function placeOfRecordings(
  { audit, clock }: Runtime,
  tell: (event: RecordingPlaceEvent) => void,
  options: Pick<RecordingPlaceOptions, 'assignment' | 'expires'>,
): RecordingPlace {
  return new RecordingPlace({
    ...options,
    clock,
    show: (command, policy) => audit.shown(command, policy),
    notice: (event, fields) => audit.notice(event, fields),
    onOpened: (place, keys) => tell({ kind: 'recordings', place, ...(keys !== undefined && { keys }) }),
  })
}

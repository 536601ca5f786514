/** Deletes recordings whose time is over: the replica that leads does, for all agents, and says so in an audit trail of its own. */
import { setTimeout as delay } from 'node:timers/promises'
import { Audit } from '@firebreak/sidecar/audit/audit.ts'
import { systemClock } from '@firebreak/sidecar/clock.ts'
import { withSpool } from '@firebreak/sidecar/control/records.ts'
import { Retention } from '@firebreak/sidecar/recording/retention.ts'
import type { RecordingStore } from '@firebreak/sidecar/recording/store.ts'
import { openStore } from '@firebreak/sidecar/recording/stores/open-store.ts'
import type { RecordingTarget } from '@firebreak/sidecar/recording/target.ts'
import { inWords } from '@firebreak/sidecar/system-errors.ts'
import type { Records } from './records.ts'

/** In milliseconds: a large place takes a while to be listed. */
const lookEvery = 10 * 60_000
const retryAfter = 60_000

export interface RetentionOptions {
  /** Where audit lines wait for the sinks elsewhere. */
  readonly spoolDirectory: string
  readonly failed: (reason: string) => void
}

/** Until the signal ends it, and what has begun with one recording is finished. Nothing is deleted where the records name no place for it. */
export async function keepRetention(
  records: Records,
  { spoolDirectory, failed }: RetentionOptions,
  signal: AbortSignal,
): Promise<void> {
  if (!records.targets.retention) return
  const language = { normalize: (text: string) => text, mayHoldSecret: () => true }
  const sinks = records.targets.audit.map((receiver) => withSpool(receiver, spoolDirectory))
  const audit = await Audit.open([{ kind: 'standardOutput' }, ...sinks], language, {
    failed: ({ message }) => failed(message),
    recovered: () => {},
    undelivered: (receiver, reason) => failed(`${receiver} takes no audit lines: ${reason}`),
    delivered: () => {},
  })
  let place: Place | undefined
  try {
    while (!signal.aborted) {
      let pause = lookEvery
      try {
        place = await opened(place, records, audit)
        await place?.retention.run(() => false, signal)
      } catch (error) {
        failed(inWords(error))
        pause = retryAfter
      }
      await delay(pause, undefined, { signal }).catch(() => {})
    }
  } finally {
    await place?.store[Symbol.asyncDispose]()
    await audit.close()
  }
}

interface Place {
  readonly store: RecordingStore
  readonly retention: Retention
  /** What it is opened with. */
  target: RecordingTarget
}

async function opened(place: Place | undefined, records: Records, audit: Audit): Promise<Place | undefined> {
  const target = records.targets.retention
  if (!target) return place
  if (!place) {
    const store = await openStore(target)
    const retention = new Retention(store, systemClock, (tombstone) =>
      audit.notice('recording.deleted', tombstone),
    )
    return { store, retention, target }
  }
  if (place.target !== target) place.store.renew(target)
  place.target = target
  return place
}

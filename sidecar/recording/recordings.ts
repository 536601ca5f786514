/** The station that records sessions: where to, for whom, and what becomes of recordings that can't be written. */
import type { KeyObject } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ResourceType, SessionTerms, Subject } from '@firebreak/policy'
import type { Notices } from '../audit/lines.ts'
import { type Clock, Deadline } from '../clock.ts'
import { inWords } from '../system-errors.ts'
import type { EndEntry } from './entries.ts'
import { nameOfSigner, type RecordingHeader } from './header.ts'
import { newSecret, type WrappedSecret } from './keys.ts'
import { Retention } from './retention.ts'
import { SessionRecording, type ShowCommand } from './session-recording.ts'
import type { RecordingSinks, RecordingStore } from './store.ts'
import type { Voucher } from './voucher.ts'
import { RecordingWriter } from './writer.ts'

/** So often what was recorded is made safe: a sudden end loses less than a second. In milliseconds. */
const flushEvery = 500
/** A place that takes nothing for so long is given up. In milliseconds. */
const giveUpAfter = 10_000
/** How often it is looked what need not be kept any longer. In milliseconds. */
const expireEvery = 60_000
/** At the end, recordings have so long. In milliseconds. */
const endWithin = 3_000

export interface RecordingsOptions {
  readonly destination: Destination
  /** Recordings whose time is over are deleted there by this process. Absent: others see to that. */
  readonly expiring?: RecordingStore | undefined
  readonly clock: Clock
  readonly show: ShowCommand
  readonly notice: <Event extends RecordingEvent>(event: Event, fields: Notices[Event]) => void
}

/** Where to, for whom, and in whose name recordings are written that begin from now on. */
export interface Destination {
  readonly sinks: RecordingSinks
  /** Who can read: public keys of age. */
  readonly recipients: readonly string[]
  /** Who can see what masks hid, where policy wants it kept: public keys of age, none of the others. */
  readonly unmaskedRecipients: readonly string[]
  readonly signer: KeyObject
  readonly voucher?: Voucher | undefined
}

export type RecordingEvent = Extract<keyof Notices, `recording.${string}`>

/** Whose session begins, and how it is to be recorded. */
export interface RecordedSession {
  readonly id: string
  readonly subject: Subject
  readonly protocol: ResourceType
  readonly remote: string
  readonly proof: unknown
  readonly terms: SessionTerms
  /** The session may not go on: its recording has reached its limit, or can't be written. */
  readonly onStop: (reason: string) => void
}

interface Live {
  readonly session: RecordedSession
  readonly recording: SessionRecording
  failing: NodeJS.Timeout | undefined
}

export class Recordings implements AsyncDisposable {
  readonly #options: RecordingsOptions
  #destination: Destination
  /** Also those that older recordings still go to. */
  readonly #opened = new Set<RecordingSinks>()
  readonly #live = new Set<Live>()
  readonly #ending = new Set<Promise<void>>()
  readonly #retention: Retention | undefined
  readonly #lookAgain: Deadline
  #flushing: NodeJS.Timeout | undefined
  #expiring: Promise<void> | undefined

  constructor(options: RecordingsOptions) {
    this.#options = options
    this.#lookAgain = new Deadline(options.clock, expireEvery)
    this.#destination = options.destination
    this.#opened.add(options.destination.sinks)
    if (options.expiring)
      this.#retention = new Retention(options.expiring, options.clock, (tombstone) => {
        options.notice('recording.deleted', tombstone)
      })
  }

  get place(): string {
    return this.#destination.sinks.place
  }

  /** For recordings that begin from now on; those that have begun end where they are. */
  redirect(destination: Destination): void {
    this.#destination = destination
    this.#opened.add(destination.sinks)
  }

  /** @throws Error in words, when the session can't be recorded. */
  async begin(session: RecordedSession): Promise<SessionRecording> {
    const { clock, show, notice } = this.#options
    const { sinks, signer, voucher, recipients, unmaskedRecipients } = this.#destination
    const { id, subject, terms } = session
    const { secret, key } = await newSecret(recipients)
    const unmasked = terms.recording.unmasked ? await newUnmaskedSecret(unmaskedRecipients) : undefined
    const chain = subject.chain.map(({ identity }) => identity)
    const acting = subject.chain.at(-1) ?? subject.chain[0]
    const header: RecordingHeader = {
      recording: id,
      startedAt: new Date(clock.wall()).toISOString(),
      protocol: session.protocol,
      identity: acting.identity,
      chain,
      resource: subject.resource,
      role: subject.role,
      keepSeconds: terms.recording.keepSeconds,
      signer: nameOfSigner(signer),
      ...(voucher && { voucher }),
      recipients,
      key,
      ...(unmasked && { unmasked: { recipients: unmaskedRecipients, key: unmasked.key } }),
    }
    const sink = await sinks.create(id)
    let live: Live | undefined
    const writer = await RecordingWriter.start({
      sink,
      header,
      secret,
      unmaskedSecret: unmasked?.secret,
      signer,
      now: () => clock.monotonic(),
      onFailed: (error) => live && this.#failed(live, error),
      onRecovered: () => live && this.#recovered(live),
    }).catch(async (error: unknown) => {
      await sink.close().catch(() => {})
      throw error
    })
    const recording = new SessionRecording(
      writer,
      {
        session: id,
        identity: acting.identity,
        chain,
        groups: acting.groups,
        resource: subject.resource,
        role: subject.role,
        remote: session.remote,
        proof: session.proof,
        mode: terms.recording.mode === 'full' ? 'full' : 'commands',
        revision: terms.revision,
      },
      terms,
      show,
      () => live && this.#limitReached(live),
    )
    live = { session, recording, failing: undefined }
    this.#live.add(live)
    this.#flushing ??= setInterval(() => this.#flush(), flushEvery).unref()
    notice('recording.started', {
      ...{ session: id, signer: header.signer, place: sinks.place },
      ...(unmasked && { unmasked: unmaskedRecipients }),
    })
    return recording
  }

  /** Ends a session's recording; what is left to write is written meanwhile. */
  end(recording: SessionRecording, end: Omit<EndEntry, 'type'>): void {
    const live = [...this.#live].find((candidate) => candidate.recording === recording)
    if (!live || recording.stopped) return
    this.#finish(live, recording.end(end))
  }

  /** Deletes what need not be kept any longer. Called every second. */
  tick(): void {
    if (!this.#retention || this.#expiring || !this.#lookAgain.passed) return
    this.#lookAgain.restart()
    this.#expiring = this.#retention
      .run((id) => this.#isLive(id))
      .catch((error: unknown) => this.#options.notice('recording.failed', { reason: inWords(error) }))
      .finally(() => {
        this.#expiring = undefined
      })
  }

  /** Ends what is left; gives up what can't be written in time. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = Promise.allSettled(this.#ending)
    await Promise.race([ended, delay(endWithin, undefined, { ref: false })])
    for (const live of this.#live) this.#lose(live, 'the gateway stopped before it was written')
    clearInterval(this.#flushing)
    await this.#expiring
    for (const sinks of this.#opened) await sinks[Symbol.asyncDispose]()
  }

  #isLive(id: string): boolean {
    return [...this.#live].some(({ session }) => session.id === id)
  }

  #flush(): void {
    for (const { recording } of this.#live)
      if (recording.writer.dirty && !recording.stopped) void recording.writer.flush()
  }

  #finish(live: Live, written: Promise<void>): void {
    const { session, recording } = live
    const done = written.then(() => {
      clearTimeout(live.failing)
      if (!this.#live.delete(live)) return
      const { written: bytes, blocks, commands, hash } = recording.writer
      this.#options.notice('recording.ended', { session: session.id, bytes, blocks, commands, hash })
    })
    this.#ending.add(done)
    void done.finally(() => this.#ending.delete(done))
  }

  #limitReached(live: Live): void {
    const { session, recording } = live
    const { maxBytes, onLimit } = recording.terms
    this.#options.notice('recording.limit', {
      session: session.id,
      bytes: maxBytes,
      consequence: onLimit === 'end' ? 'ends' : 'continues',
    })
    this.#finish(live, recording.closed)
    if (onLimit === 'end')
      session.onStop(`the recording of the session has reached its largest size of ${maxBytes} bytes`)
  }

  /** The session waits, so that nothing goes unrecorded, but not for ever. */
  #failed(live: Live, error: Error): void {
    this.#options.notice('recording.failed', { session: live.session.id, reason: inWords(error) })
    live.failing = setTimeout(() => this.#lose(live, inWords(error)), giveUpAfter).unref()
  }

  #recovered(live: Live): void {
    clearTimeout(live.failing)
    this.#options.notice('recording.recovered', { session: live.session.id })
  }

  #lose(live: Live, reason: string): void {
    const { session, recording } = live
    if (!this.#live.delete(live)) return
    clearTimeout(live.failing)
    const ends = recording.terms.onFailure === 'refuse'
    this.#options.notice('recording.lost', {
      session: session.id,
      reason,
      consequence: ends ? 'ends' : 'continues',
    })
    void recording.giveUp()
    if (ends) session.onStop(`the session can't be recorded any longer: ${reason}`)
  }
}

/** Who may see it is up to those who keep the recordings: the author of a policy can't name himself. */
async function newUnmaskedSecret(recipients: readonly string[]): Promise<WrappedSecret> {
  if (recipients.length === 0)
    throw new Error('policy wants what masks hide to be kept, and nobody is named who may see it')
  return await newSecret(recipients)
}

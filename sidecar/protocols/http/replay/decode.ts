/** Recorded responses, as people are to see them: head and body stand in the recording as they were answered. */
import type { ResponseReplay, Shown } from '../../replays.ts'

export class ResponseText implements ResponseReplay {
  /** Every piece stands by itself. */
  cut(): void {}

  *push(bytes: Buffer): Generator<Shown> {
    yield { kind: 'copied', bytes }
  }
}

import type { From, RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import type { Extent } from '@firebreak/sidecar/recording/transcript/results.ts'
import { type Step, transcript } from '@firebreak/sidecar/recording/transcript/transcript.ts'

/** The steps from a moment or command on, and none of those before it that are read with it. */
export async function* stepsFrom(
  reader: RecordingReader,
  extent: Extent,
  from: From | undefined,
): AsyncGenerator<Step, undefined> {
  let begun = from === undefined
  for await (const step of transcript(reader, extent, from)) {
    begun ||= step.kind === 'broken off' || isFrom(step, from)
    if (begun) yield step
  }
}

function isFrom(step: Step, from: From | undefined): boolean {
  if (from && 'command' in from) return step.kind === 'command' && step.number >= from.command
  return step.time >= (from?.time ?? 0)
}

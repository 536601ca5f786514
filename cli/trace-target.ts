/** The words of --traces: where they go, and how many. */
import { readFileSync } from 'node:fs'
import type { TraceTarget } from '@firebreak/sidecar'
import { UsageError } from './command.ts'
import { collectorAddress, headersFrom, refuseRest, splitTarget, take } from './target-options.ts'

export const tracesHelp = `  --traces TARGET[,OPTION=VALUE]…
                    an OpenTelemetry collector that gets sessions and commands as spans (default: none):
                    otlp+https://HOST:PORT, headers-file=FILE, ca-file=FILE; share=0.1 traces a tenth (default: all)`

/** @throws UsageError for what can't be meant, and the system's error when a file can't be read. */
export function parseTraces(item: string | undefined): TraceTarget | undefined {
  if (item === undefined) return undefined
  const { target, options } = splitTarget('--traces', item)
  if (!/^otlp\+https?:\/\//.test(target))
    throw new UsageError(`--traces takes otlp+https://HOST:PORT, not ${target}`)
  const caFile = take(options, 'ca-file')
  const parsed = {
    url: collectorAddress('--traces', target, '/v1/traces'),
    headers: headersFrom(options),
    ca: caFile === undefined ? undefined : readFileSync(caFile, 'utf8'),
    share: shareOf(take(options, 'share') ?? '1'),
  }
  refuseRest('--traces', target, options)
  return parsed
}

function shareOf(text: string): number {
  const share = Number(text)
  if (!/^[01](\.[0-9]{1,6})?$/.test(text) || share <= 0 || share > 1)
    throw new UsageError(`share takes a number above 0, up to 1, not ${text}`)
  return share
}

/** Makes audit trails for tests as the gateway makes them. */
import { Chain, type ChainEnd, chainEnd } from '../chain.ts'

/** @returns the lines of one run with their ends: its start, some notices, and its end where it has one. */
export function runLines(
  count: number,
  { before, ended = true }: { before?: ChainEnd | undefined; ended?: boolean } = {},
): string[] {
  const chain = new Chain(before)
  const line = (event: string, fields: object = {}): string =>
    chain.link(
      `${JSON.stringify({ v: 1, source: chain.source, time: new Date().toISOString(), event, ...fields })}\n`,
    )
  return [
    line('audit.start', before && { after: { source: before.source, seq: before.seq } }),
    ...Array.from({ length: count }, (_, index) => line('configuration.applied', { revision: `r${index}` })),
    ...(ended ? [line('audit.end')] : []),
  ]
}

export function endOf(lines: readonly string[]): ChainEnd | undefined {
  return chainEnd(Buffer.from((lines.at(-1) ?? '').slice(0, -1)))
}

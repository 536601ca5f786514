const unitSeconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400 }

/** Seconds of a duration as the API writes it: `90s`, `1h30m`, `90d`. The schema has checked the form. */
export function seconds(duration: string): number {
  let total = 0
  for (const [, count, unit] of duration.matchAll(/([0-9]+)(ms|s|m|h|d)/g))
    total += Number(count) * (unitSeconds[unit ?? ''] ?? 0)
  return total
}

/** A span of time for people, in the largest unit that fits: `3 min`, `2 h`. */
export function duration(milliseconds: number): string {
  const whole = Math.max(0, Math.round(milliseconds / 1000))
  if (whole < 120) return `${whole} s`
  if (whole < 7_200) return `${Math.round(whole / 60)} min`
  return whole < 172_800 ? `${Math.round(whole / 3_600)} h` : `${Math.round(whole / 86_400)} days`
}

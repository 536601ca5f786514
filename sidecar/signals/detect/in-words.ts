/** `a; b; c and 4 more`. @param count of all, of which some are given. */
export function listInWords(items: readonly string[], count: number): string {
  const shown = items.slice(0, 3).map((item) => (item.length > 120 ? `${item.slice(0, 120)}…` : item))
  const more = count - shown.length
  return `${shown.join('; ')}${more > 0 ? ` and ${more} more` : ''}`
}

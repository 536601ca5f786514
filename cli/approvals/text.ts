/** Text of agents, as it may stand on a terminal. */

/**
 * Shows every character that a terminal would obey instead of printing (control sequences, direction and joining marks,
 * line separators) as an escape, so that nobody approves something else than what runs.
 *
 * @param lines whether line feeds stay.
 */
export function printable(text: string, lines = false): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\n') return lines ? '\n' : '⏎'
    if (character === '\t') return lines ? '  ' : '⇥'
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
}

/** As much as fits, and a sign that there is more. */
export function clip(text: string, width: number): string {
  const characters = [...text]
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`
}

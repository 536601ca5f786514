/** Names and values of forms. */

/** @returns undefined for what is no UTF-8, or has a percent sign that encodes nothing. */
export function decodeFormText(text: string): string | undefined {
  if (!text.includes('%') && !text.includes('+')) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** `user[email]` and `user.email` are what many servers read as a field in another; `tags[]` is a list. */
export function formPath(name: string): readonly string[] {
  const parts = name.split(/[[\].]+/)
  return parts.filter((part, index) => part !== '' || index === 0)
}

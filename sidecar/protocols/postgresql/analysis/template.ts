/**
 * The form of a statement without its plain constants.
 *
 * Two texts of the same form differ only in values of integers and simple strings, so that PostgreSQL's lexer cuts them
 * into the same tokens and its parser makes the same tree of them. Whatever could upset that gives no form at all:
 * quoted names, dollar quotes, backslashes, prefixed or continued strings, and comments, but for one at the very end, in
 * which clients write what is another in each text (commenter.ts).
 *
 * @returns undefined when the text has none.
 */
export function formOf(text: string): string | undefined {
  let form = ''
  let copied = 0
  let index = 0
  while (index < text.length) {
    const code = text.charCodeAt(index)
    if (isDigit(code)) {
      const end = endOfDigits(text, index)
      const plain =
        end - index <= maximumDigits && !isWord(text.charCodeAt(index - 1)) && !isWord(text.charCodeAt(end))
      if (plain) {
        form += `${text.slice(copied, index)}\x01`
        copied = end
      }
      index = end
    } else if (code === quote) {
      const end = endOfString(text, index)
      if (end === undefined) return undefined
      form += `${text.slice(copied, index)}\x02`
      copied = index = end
    } else if (isLastComment(text, index)) return `${form}${text.slice(copied, index)}\x03`
    else if (isUpsetting(code, text.charCodeAt(index + 1))) return undefined
    else index++
  }
  return form + text.slice(copied)
}

/** More digits may be a bigint or numeric, which is another type. */
const maximumDigits = 9
const quote = 0x27

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** Letters, digits, `_`, `$`, `.` and all of the bytes above ASCII: what a number may not touch. NaN is the end of the text. */
function isWord(code: number): boolean {
  return (
    isDigit(code) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x5f ||
    code === 0x24 ||
    code === 0x2e ||
    code > 0x7f
  )
}

function isUpsetting(code: number, next: number): boolean {
  switch (code) {
    case 0x22: // "
    case 0x24: // $
    case 0x5c: // \
    case 0x01:
    case 0x02:
    case 0x03:
      return true
    case 0x2d: // --
      return next === 0x2d
    case 0x2f: // /*
      return next === 0x2a
    default:
      return false
  }
}

/** Whether nothing but one comment, that holds no other, stands from here to the end of the last statement. */
function isLastComment(text: string, start: number): boolean {
  if (!text.startsWith('/*', start)) return false
  const end = text.indexOf('*/', start + 2)
  const inner = text.indexOf('/*', start + 2)
  return end >= 0 && (inner < 0 || inner > end) && /^[\s;]*$/.test(text.slice(end + 2))
}

function endOfDigits(text: string, start: number): number {
  let end = start
  while (isDigit(text.charCodeAt(end))) end++
  return end
}

/** Behind the closing quote of a simple string; undefined for any other kind. */
function endOfString(text: string, start: number): number | undefined {
  const before = text.charCodeAt(start - 1)
  if (isWord(before) || before === 0x26) return undefined
  const end = text.indexOf("'", start + 1)
  if (end < 0) return undefined
  const backslash = text.indexOf('\\', start)
  if (backslash >= 0 && backslash < end) return undefined
  // a doubled quote, or a string that goes on behind a line break
  let next = end + 1
  while (/\s/.test(text.charAt(next))) next++
  return text.charCodeAt(next) === quote ? undefined : end + 1
}

/** Text that doesn't say that it is JSON and may be it all the same: how it begins tells. */
import type { Result } from '../../../session.ts'
import type { TextMask } from './text-mask.ts'

/** Spaces before the first bracket, and between it and the next character. Nobody writes more, unless to hide what follows. */
const mostSpaces = 4 * 1024

export class JsonOrText implements TextMask {
  readonly #openJson: () => TextMask
  readonly #openText: () => TextMask
  #mask: TextMask | undefined
  #begun: Buffer = Buffer.alloc(0)

  constructor(openJson: () => TextMask, openText: () => TextMask) {
    this.#openJson = openJson
    this.#openText = openText
  }

  push(chunk: Buffer): Result<Buffer, string> {
    if (this.#mask) return this.#mask.push(chunk)
    this.#begun = Buffer.concat([this.#begun, chunk])
    const isJson = looksLikeJson(this.#begun.toString('latin1', 0, 2 * mostSpaces + 2))
    return isJson === undefined ? { ok: true, value: Buffer.alloc(0) } : this.#begin(isJson).push(this.#begun)
  }

  end(): Result<Buffer, string> {
    if (this.#mask) return this.#mask.end()
    const mask = this.#begin(false)
    const begun = mask.push(this.#begun)
    const rest = mask.end()
    return begun.ok && rest.ok ? { ok: true, value: Buffer.concat([begun.value, rest.value]) } : rest
  }

  #begin(isJson: boolean): TextMask {
    this.#mask = isJson ? this.#openJson() : this.#openText()
    return this.#mask
  }
}

/** @returns undefined where more has to be seen. */
function looksLikeJson(beginning: string): boolean | undefined {
  const first = beginning.search(/[^ \t\r\n]/)
  if (first < 0) return beginning.length > mostSpaces ? true : undefined
  if (first > mostSpaces) return true
  const bracket = beginning[first]
  if (bracket !== '{' && bracket !== '[') return false
  const inside = beginning.slice(first + 1)
  const second = inside.search(/[^ \t\r\n]/)
  if (second < 0) return inside.length > mostSpaces ? true : undefined
  return second > mostSpaces || (bracket === '{' ? '"' : '[{"').includes(inside[second] ?? '')
}

/** Keys and bytes become lines; nothing reaches a program that is in no line, and no line says other than what it sends. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type InputPart, Lines } from './input.ts'

function typed(tty: boolean, ...chunks: readonly (string | Buffer)[]): readonly InputPart[] {
  const lines = new Lines(tty)
  return [...chunks.flatMap((chunk) => [...lines.push(Buffer.from(chunk))]), ...lines.end()]
}

function shown(parts: readonly InputPart[]): readonly string[] {
  return parts.map((part) =>
    part.kind === 'line'
      ? `line ${JSON.stringify(part.bytes.toString())}`
      : part.kind === 'pass'
        ? `pass ${JSON.stringify(part.bytes.toString())}`
        : part.kind,
  )
}

describe('input', () => {
  const cases: readonly (readonly [string, boolean, readonly string[], readonly string[]])[] = [
    ['is cut at line feeds', false, ['a\nb', 'c\n'], ['line "a\\n"', 'line "bc\\n"']],
    ['has a last line without its end', false, ['a\nb'], ['line "a\\n"', 'line "b"']],
    ['of a terminal is cut at carriage returns', true, ['a\rb\n'], ['line "a\\r"', 'line "b\\n"']],
    ['of no terminal is not', false, ['a\rb\n'], ['line "a\\rb\\n"']],
    ['is corrected by backspaces', true, ['rm\b\bls\u007f\u007fid\r'], ['line "id\\r"']],
    ['is given up by an interrupt', true, ['rm x\u0003id\r'], ['pass "\\u0003"', 'line "id\\r"']],
    ['ends by its key where a line begins', true, ['\u0004'], ['pass "\\u0004"']],
    ['does not end by it within a line', true, ['rm\u0004\r'], ['line "rm\\u0004\\r"']],
    ['keeps the keys that a shell may read', true, ['\u001b[Al\t\r'], ['line "\\u001b[Al\\t\\r"']],
    ['keeps a backspace behind such a key', true, ['\u001b[A\b\r'], ['line "\\u001b[A\\b\\r"']],
  ]
  for (const [name, tty, chunks, expected] of cases)
    it(name, () => assert.deepEqual(shown(typed(tty, ...chunks)), expected))

  it('ends where a line is longer than what is kept', () => {
    assert.deepEqual(shown(typed(false, 'a'.repeat(70_000)))[0], 'too-long')
  })

  it('without a terminal passes to the byte, whatever it is, in lines that say what they send', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (chunks) => {
        const buffers = chunks.map((chunk) => Buffer.from(chunk))
        const parts = typed(false, ...buffers)
        const sent = Buffer.concat(
          parts.map((part) => (part.kind === 'too-long' ? Buffer.alloc(0) : part.bytes)),
        )
        assert.ok(sent.equals(Buffer.concat(buffers)))
        for (const part of parts)
          if (part.kind === 'line' && part.isText)
            assert.ok([part.text, `${part.text}\n`].includes(part.bytes.toString()))
      }),
    )
  })
})

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
      ? `${part.isKnown ? 'known' : 'unknown'} ${JSON.stringify(part.bytes.toString())}`
      : part.kind === 'pass'
        ? `pass ${JSON.stringify(part.bytes.toString())}`
        : part.kind,
  )
}

describe('input', () => {
  const cases: readonly (readonly [string, boolean, readonly string[], readonly string[]])[] = [
    ['is cut at line feeds', false, ['a\nb', 'c\n'], ['known "a\\n"', 'known "bc\\n"']],
    ['has a last line without its end', false, ['a\nb'], ['known "a\\n"', 'known "b"']],
    ['of a terminal is cut at carriage returns', true, ['a\rb\n'], ['known "a\\r"', 'known "b\\n"']],
    ['of no terminal is not', false, ['a\rb\n'], ['known "a\\rb\\n"']],
    ['is corrected by backspaces', true, ['rm\b\bls\u007f\u007fid\r'], ['known "id\\r"']],
    ['is given up by an interrupt', true, ['rm x\u0003id\r'], ['pass "\\u0003"', 'known "id\\r"']],
    ['ends by its key where a line begins', true, ['\u0004'], ['pass "\\u0004"']],
    ['does not end by it within a line', true, ['rm\u0004\r'], ['unknown "rm\\u0004\\r"']],
    ['is not known with an arrow', true, ['\u001b[A\r'], ['unknown "\\u001b[A\\r"']],
    [
      'is not known with a backspace behind an arrow',
      true,
      ['\u001b[A\b\b\b\r'],
      ['unknown "\\u001b[A\\b\\b\\b\\r"'],
    ],
    ['is not known with a tab', true, ['l\t\r'], ['unknown "l\\t\\r"']],
    ['is not known with a search of older lines', true, ['\u0012rm\r'], ['unknown "\\u0012rm\\r"']],
    ['is not known with a suspension', true, ['a\u001a\r'], ['unknown "a\\u001a\\r"']],
    ['is not known with a letter that a terminal may read otherwise', true, ['é\r'], ['unknown "é\\r"']],
  ]
  for (const [name, tty, chunks, expected] of cases)
    it(name, () => assert.deepEqual(shown(typed(tty, ...chunks)), expected))

  it('is not known where a terminal would leave out the rest of a line', () => {
    assert.match(shown(typed(true, `${'a'.repeat(4_001)}\r`)).join(), /^unknown/)
  })

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
          if (part.kind === 'line' && part.isKnown)
            assert.ok([part.text, `${part.text}\n`].includes(part.bytes.toString()))
      }),
    )
  })

  it('of a terminal never sends a known line that has a key in it, or does not say what it sends', () => {
    const keys = fc.constantFrom(
      ...['a', 'b', ' ', '\r', '\n', '\b', '\u007f', '\u0003', '\u0004', '\u001b', '\t', '\u0000', 'é'],
    )
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 30 }), (pressed) => {
        for (const part of typed(true, pressed.join('')))
          if (part.kind === 'line' && part.isKnown) {
            assert.match(part.text, /^[ -~]*$/)
            assert.equal(part.bytes.toString().replace(/[\r\n]$/, ''), part.text)
          }
      }),
    )
  })
})

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { endOf, runLines } from './testdata/trail.ts'
import { type AuditTrail, inOrderOfTime, verifyTrail } from './verify.ts'

async function verify(...files: readonly (readonly string[])[]): Promise<AuditTrail> {
  return await verifyTrail(
    files.map((lines, index) => ({
      name: `file${index}`,
      stream: Readable.from([Buffer.from(lines.join(''))]),
    })),
  )
}

/** What is said first, with its place. */
async function firstProblem(...files: readonly (readonly string[])[]): Promise<string | undefined> {
  const { problems, chains } = await verify(...files)
  const [first] = problems
  let said = first && `${first.file}:${first.line}: ${first.message}`
  for (const [index, { source }] of chains.entries()) said = said?.replaceAll(source, `run ${index}`)
  return said
}

describe('firebreak audit verify', () => {
  const first = runLines(5)
  const second = runLines(3, { before: endOf(first) })
  const killed = runLines(5, { ended: false })
  const afterKilled = runLines(1, { before: endOf(killed) })
  const changed = (lines: readonly string[], index: number): string[] =>
    lines.with(index, (lines[index] ?? '').replace('"r', '"s'))

  it('finds nothing in a trail as it was written, over rotated files too', async () => {
    assert.deepEqual((await verify([...first, ...second])).problems, [])
    assert.deepEqual((await verify(first, second.slice(0, 2), second.slice(2))).problems, [])
    const { chains } = await verify(first.slice(0, 3), [...first.slice(3), ...second])
    assert.deepEqual(
      chains.map(({ first, last, ended, hash }) => [first, last, ended, hash]),
      [
        [1, 7, true, endOf(first)?.hash],
        [1, 5, true, endOf(second)?.hash],
      ],
    )
  })

  it('takes files that begin within one millisecond as they follow each other', async () => {
    const time = '2026-01-02T03:04:05.678Z'
    const lines = [...first, ...second].map((line) => line.replace(/"time":"[^"]+"/, `"time":"${time}"`))
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-verify-'))
    try {
      const names = [0, 3, 5, first.length].map((begin, index, begins) => {
        const name = join(directory, `${9 - index}.jsonl`)
        writeFileSync(name, lines.slice(begin, begins[index + 1]).join(''))
        return name
      })
      const inOrder = await inOrderOfTime(names.toReversed())
      assert.deepEqual(
        inOrder.map(({ name }) => name),
        names,
      )
      for (const { stream } of inOrder) await buffer(stream)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  const cases: readonly [string, readonly (readonly string[])[], string | undefined][] = [
    [
      'an edit',
      [changed(first, 3)],
      'file0:5: line 4 of run 0, the one before this, or this one is not as it was written',
    ],
    [
      'an edit in an earlier file',
      [changed(first, 3).slice(0, 4), first.slice(4)],
      'file1:1: line 4 of run 0, the one before this, or this one is not as it was written',
    ],
    ['a gap', [first.toSpliced(2, 2)], 'file0:3: lines 3 to 4 of run 0 are missing'],
    [
      'another order',
      [first.with(2, first[3] ?? '').with(3, first[2] ?? '')],
      'file0:4: line 3 of run 0 comes after line 4',
    ],
    [
      'a cut end, once the next run has begun',
      [[...killed.slice(0, -2), ...afterKilled]],
      'file0:5: lines 5 to 6 of run 0, the run before, are missing',
    ],
    [
      'an edit of the last line, once the next run has begun',
      [[...changed(killed, 5), ...afterKilled]],
      'file0:7: line 6 of run 0, the run before, is not the line that it was',
    ],
    [
      'a run that is gone',
      [[...runLines(1), ...second]],
      `file0:4: ${endOf(first)?.source}, the run before this one, is missing`,
    ],
    [
      'a run whose beginning is gone, among others',
      [[...first, ...second.slice(2)]],
      'file0:8: lines 1 to 2 of run 1 are missing',
    ],
    [
      'lines after the end of a run',
      [[...first, ...runLines(1).slice(1)]],
      'file0:8: line 1 of run 1 is missing',
    ],
    [
      'a line that is none',
      [first.toSpliced(3, 0, '{"v":1,"sou\n')],
      'file0:4: this is no line of an audit trail',
    ],
    [
      'half a line between lines of a run',
      [first.toSpliced(3, 1, '{"v":1,"sou\n')],
      'file0:4: this is no line of an audit trail',
    ],
    [
      'another line of the same number',
      [[...first.slice(0, 4), ...changed(first, 3).slice(3, 4), ...first.slice(4)]],
      'file0:5: line 4 of run 0 is there twice, and not the same',
    ],
    ['nothing where the oldest lines were retired', [[...first.slice(3), ...second]], undefined],
    ['nothing where the oldest run was retired', [second], undefined],
    ['nothing in what was cut by a crash', [[...killed, '{"v":1,"sou\n', ...afterKilled]], undefined],
    [
      'nothing in half a line at the end of a file',
      [[...first.slice(0, 3), '{"v":1'], first.slice(3)],
      undefined,
    ],
    ['nothing in lines that come again', [[...first.slice(0, 5), ...first.slice(2)]], undefined],
    [
      'nothing where two runs are mixed',
      [first.flatMap((line, index) => [line, killed[index] ?? ''])],
      undefined,
    ],
  ]
  for (const [name, files, problem] of cases)
    it(`says of ${name}${problem === undefined ? '' : ' where it is'}`, async () => {
      assert.equal(await firstProblem(...files), problem)
    })

  it('says which run has no end, and how many lines came again', async () => {
    const { chains } = await verify([...killed, ...killed.slice(2)])
    assert.deepEqual(
      chains.map(({ ended, repeated }) => [ended, repeated]),
      [[false, 4]],
    )
  })

  it('finds any change of any byte but in the last line, and any line that is gone', async () => {
    const lines = [...first, ...second]
    await fc.assert(
      fc.asyncProperty(
        fc.nat(lines.length - 2),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (index, at, by) => {
          const bytes = Buffer.from(lines[index] ?? '')
          // without the line's end
          const position = at % (bytes.length - 1)
          bytes[position] = (bytes[position] ?? 0) ^ by
          const { problems } = await verifyTrail([
            {
              name: 'f',
              stream: Readable.from([
                Buffer.from(lines.slice(0, index).join('')),
                bytes,
                Buffer.from(lines.slice(index + 1).join('')),
              ]),
            },
          ])
          assert.notEqual(problems.length, 0)
        },
      ),
      { numRuns: 500 },
    )
    for (let index = 1; index < lines.length - 1; index++)
      assert.notEqual((await verify(lines.toSpliced(index, 1))).problems.length, 0, `${index}`)
  })

  it('reads whatever comes, in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 })), async (chunks) => {
        await verifyTrail([{ name: 'f', stream: Readable.from(chunks.map((chunk) => Buffer.from(chunk))) }])
      }),
    )
    const bytes = Buffer.from([...first, ...second].join(''))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 30 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
        const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end))
        const { problems } = await verifyTrail([{ name: 'f', stream: Readable.from(pieces) }])
        assert.deepEqual(problems, [])
      }),
    )
  })
})

/** The audit trail of real processes, on real files and pipes. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { assertLines, numbersIn, Writing, type WritingOptions, wholeLines } from './testdata/writing.ts'
import { inOrderOfTime, verifyTrail } from './verify.ts'

/** Keeps what a process writes until it is asked for. */
function unread(output: Readable | null): Readable {
  assert.ok(output)
  return output.setEncoding('utf8').on('readable', () => {})
}

describe('audit trail of a process', function () {
  this.timeout(300_000)
  let directory: string
  let path: string
  const started: Writing[] = []

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
    path = join(directory, 'audit.jsonl')
  })
  afterEach(async () => {
    for (const writing of started.splice(0)) await writing.kill()
    rmSync(directory, { recursive: true })
  })

  function write(options: Partial<WritingOptions> = {}): Writing {
    const writing = new Writing({ path, ...options })
    started.push(writing)
    return writing
  }

  const contents = (name = path): string => readFileSync(name, 'utf8')

  /** While it is full, each attempt to write leaves half a line there for a moment. @returns its whole lines. */
  async function fullFile(writing: Writing): Promise<string> {
    let text = ''
    await writing.until(() => {
      text = contents()
      return text.endsWith('\n')
    })
    return text
  }

  /** Fills the file but for some lines. @returns a limit that leaves room for many more in its spool. */
  function nearlyFull(): { readonly fileLimit: number } {
    const filler = 'x'.repeat(512 * 1_024 - 16_000)
    writeFileSync(path, `${JSON.stringify({ revision: '0', filler })}\n`)
    return { fileLimit: 1_024 }
  }

  const lift = ({ child }: Writing): void => {
    execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited'])
  }

  it('is whole after SIGTERM under load', async () => {
    const writing = write()
    await writing.until(({ made }) => made > 500)
    const { made, lost } = await writing.stop()
    assert.equal(lost, 0)
    assertLines(numbersIn(contents()), 1, made)
  })

  it('can only be read by its owner', async () => {
    const writing = write()
    await writing.until(({ made }) => made > 0)
    await writing.stop()
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('loses no more than the last moment by SIGKILL', async () => {
    const writing = write()
    // what was made a second before: 10 ms and what a busy machine takes
    const before = (): number => {
      const reports = [...writing.messages.matchAll(/^at (\d+) (\d+)$/gm)].map(([, at, time]) =>
        [at, time].map(Number),
      )
      const last = reports.at(-1)?.[1] ?? 0
      return reports.findLast(([, time = 0]) => time < last - 1_000)?.[0] ?? 0
    }
    await writing.until(({ made }) => made > 500 && before() > 0)
    await writing.kill()
    const numbers = numbersIn(wholeLines(contents()))
    assertLines(numbers, 1, numbers.length)
    assert.ok(numbers.length >= before(), `${numbers.length} of ${before()}`)
  })

  it('ends a line that SIGKILL has cut, so that only it is broken', async () => {
    writeFileSync(path, '{"revision":"1"}\n{"revi')
    const writing = write({ first: 2 })
    await writing.until(({ made }) => made > 10)
    const { made } = await writing.stop()
    const lines = contents().split('\n')
    assert.equal(lines[1], '{"revi')
    assertLines(numbersIn(lines.toSpliced(1, 1).join('\n')), 1, made)
  })

  it('is followed through rotation by rename, with and without a new file', async () => {
    const writing = write()
    for (const [index, create] of [true, false, true].entries()) {
      await writing.until(({ made }) => made > 300 * (index + 1))
      renameSync(path, `${path}.${index}`)
      // it may be there already
      if (create) writeFileSync(path, '', { flag: 'a' })
      await writing.until(() => existsSync(path) && statSync(path).size > 0)
    }
    const { made } = await writing.stop()
    assertLines(numbersIn(...[0, 1, 2].map((index) => contents(`${path}.${index}`)), contents()), 1, made)
  })

  it('is put aside when it is large enough, and so many of them are kept', async () => {
    const writing = write({
      path: JSON.stringify([{ kind: 'file', path, rotation: { bytes: 20_000, keep: 3 } }]),
    })
    await writing.until(() => existsSync(`${path}.3`))
    const before = writing.made
    await writing.until(({ made }) => made > before + 500)
    const { made } = await writing.stop()
    const files = [3, 2, 1].map((number) => `${path}.${number}`)
    const numbers = numbersIn(...files.map(contents), contents())
    assertLines(numbers, numbers[0] ?? 0, made)
    for (const file of files) assert.ok(statSync(file).size >= 20_000)
    assert.equal(existsSync(`${path}.4`), false)
    assert.deepEqual((await verifyTrail(await inOrderOfTime([path, ...files]))).problems, [])
  })

  it('is put aside when it is old enough', async () => {
    const writing = write({
      path: JSON.stringify([{ kind: 'file', path, rotation: { milliseconds: 300, keep: 100 } }]),
    })
    await writing.until(() => existsSync(`${path}.2`))
    const { made } = await writing.stop()
    const files = [...Array(100).keys()].map((index) => `${path}.${100 - index}`).filter(existsSync)
    assert.ok(files.length < 50)
    assertLines(numbersIn(...files.map(contents), contents()), 1, made)
  })

  it('is one chain over runs, SIGKILL and rotation, and anything cut off shows', async () => {
    const target = JSON.stringify([{ kind: 'file', path, rotation: { bytes: 200_000, keep: 9 } }])
    for (const [first, kill] of [
      [1, true],
      [1_000_001, false],
      [2_000_001, true],
      [3_000_001, false],
    ] as const) {
      const writing = write({ path: target, first })
      await writing.until(({ made }) => made > first + 300)
      if (kill) await writing.kill()
      else await writing.stop()
    }
    const files = [9, 8, 7, 6, 5, 4, 3, 2, 1].map((number) => `${path}.${number}`).filter(existsSync)
    assert.ok(files.length > 0)
    const whole = await verifyTrail(await inOrderOfTime([path, ...files]))
    assert.deepEqual(whole.problems, [])
    assert.deepEqual(
      whole.chains.map(({ ended }) => ended),
      [false, true, false, true],
    )
    const [newest = ''] = files.slice(-1)
    const lines = contents(newest).split('\n')
    writeFileSync(newest, lines.toSpliced(Math.floor(lines.length / 2), 1).join('\n'))
    assert.notEqual((await verifyTrail(await inOrderOfTime([path, ...files]))).problems.length, 0)
  })

  it('goes on at the beginning after copytruncate', async () => {
    const writing = write({ fileLimit: 64 })
    await writing.says('failed EFBIG')
    let copied = ''
    const copyAndTruncate = (): void => {
      const text = contents()
      // half a line is an attempt to write that is not over
      if (!text.endsWith('\n')) return
      copied = text
      writeFileSync(path, '')
      // or what it writes from now on might reach the limit again
      lift(writing)
    }
    // nothing is written meanwhile, so nothing falls between copying and truncating
    while (copied === '') await writing.paused(copyAndTruncate)
    await writing.says('recovered')
    const { made, lost } = await writing.stop()
    assert.equal(lost, 0)
    assertLines(numbersIn(copied, contents()), 1, made)
    assert.equal(existsSync(`${path}.spool`), false)
  })

  it('blocks while the file can not grow, holds whole lines meanwhile, and goes on in a new file', async () => {
    const writing = write({ fileLimit: 128 })
    await writing.says('failed EFBIG')
    await writing.standsStill()
    numbersIn(await fullFile(writing))
    renameSync(path, `${path}.1`)
    await writing.says('recovered')
    // or the new file might be full too, when it ends
    lift(writing)
    const before = writing.made
    await writing.until((now) => now.made > before + 50)
    const { made, lost } = await writing.stop()
    assert.equal(lost, 0)
    assertLines(numbersIn(contents(`${path}.1`), contents()), 1, made)
    assert.equal(existsSync(`${path}.spool`), false)
  })

  it('keeps what has come in the spool when it ends while blocked, and the next process writes it first', async () => {
    const blocked = write(nearlyFull())
    await blocked.says('failed EFBIG')
    const { made, lost } = await blocked.stop()
    assert.equal(lost, 0)
    assert.ok(existsSync(`${path}.spool`))
    const writing = write({ first: made + 1 })
    await writing.until((now) => now.made > made + 100)
    const second = await writing.stop()
    assertLines(numbersIn(contents()), 0, second.made)
    // what comes last is in memory alone until then
    assert.equal(contents().match(/"event":"audit\.end"/g)?.length, 2)
    assert.equal(existsSync(`${path}.spool`), false)
  })

  it('goes on with the spool where the policy says so, until that is full too; then replays it in order', async () => {
    const writing = write({ ...nearlyFull(), onFailure: 'spool' })
    const failedAt = await writing.madeAfter('failed EFBIG')
    await writing.until(({ made }) => made > failedAt + 50 && existsSync(`${path}.spool`))
    assert.equal(statSync(`${path}.spool`).mode & 0o777, 0o600)
    // the spool is stopped by the same limit
    await writing.until(({ messages }) => messages.match(/^failed/gm)?.length === 2)
    await writing.standsStill()
    lift(writing)
    await writing.says('recovered')
    const before = writing.made
    await writing.until((now) => now.made > before + 50)
    const { made, lost } = await writing.stop()
    assert.equal(lost, 0)
    assertLines(numbersIn(contents()), 0, made)
    assert.equal(existsSync(`${path}.spool`), false)
  })

  it('keeps the spool through SIGKILL, and nothing of it is written twice', async () => {
    const writing = write({ ...nearlyFull(), onFailure: 'spool' })
    await writing.says('failed EFBIG')
    await writing.until(() => existsSync(`${path}.spool`) && statSync(`${path}.spool`).size > 10_000)
    await writing.kill()
    const [inFile, inSpool] = [contents(), contents(`${path}.spool`)].map(wholeLines)
    const numbers = numbersIn(inFile ?? '', inSpool ?? '')
    const last = numbers.length - 1
    assertLines(numbers, 0, last)
    // as if it had been killed while it replayed, with a line half written
    const replayed = inSpool?.split('\n').slice(0, 20).join('\n')
    writeFileSync(path, `${inFile}${replayed}\n{"v":1,"ti`)
    writeFileSync(`${path}.spool`, inSpool ?? '')
    const second = write({ first: last + 1 })
    await second.until(({ made }) => made > last + 50)
    const { made } = await second.stop()
    const lines = contents().split('\n')
    assertLines(numbersIn(lines.filter((line) => line !== '{"v":1,"ti').join('\n')), 0, made)
  })

  it('waits for a slow pipe, and at the end too', async () => {
    const writing = write({ path: '-', together: 50 })
    const output = unread(writing.child.stdout)
    await writing.until(({ made }) => made > 5_000)
    const stopping = writing.stop()
    // it gives up when nothing is read for 3 s
    await delay(500)
    assert.equal(writing.child.exitCode, null)
    let text = ''
    for await (const chunk of output) {
      text += chunk as string
      await delay(20)
    }
    const { made, lost } = await stopping
    assert.equal(lost, 0)
    assertLines(numbersIn(text), 1, made)
    assert.doesNotMatch(writing.messages, /failed/)
  })

  it('ends in spite of a pipe that nobody reads, and says how many lines are lost', async () => {
    const writing = write({ path: '-', together: 50 })
    const output = unread(writing.child.stdout)
    await writing.until(({ made }) => made > 5_000)
    const { made, lost } = await writing.stop()
    assert.ok(lost > 0)
    let text = ''
    for await (const chunk of output) text += chunk
    // the run's own last line is one of them
    assertLines(numbersIn(text.slice(0, text.lastIndexOf('\n') + 1)), 1, made - (lost - 1))
  })

  it('blocks when the reader of standard output is gone, whatever the policy, and does not crash', async () => {
    for (const onFailure of ['block', 'spool'] as const) {
      const writing = write({ path: '-', onFailure })
      await writing.until(({ made }) => made > 50)
      writing.child.stdout?.destroy()
      await writing.says('failed EPIPE')
      await writing.standsStill()
      assert.ok((await writing.stop()).lost > 0)
    }
  })

  it('goes on in a named pipe with the next reader', async () => {
    execFileSync('mkfifo', [path])
    const read = (): { file: number; text: () => string } => {
      const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
      const buffer = Buffer.alloc(1024 * 1024)
      return {
        file,
        text() {
          try {
            return buffer.toString('utf8', 0, readSync(file, buffer))
          } catch {
            return ''
          }
        },
      }
    }
    const first = read()
    const writing = write()
    await writing.until(({ made }) => made > 100)
    let text = ''
    // what comes between the last reading and the end of the reader would be gone with it
    await writing.paused(() => {
      text = first.text()
      closeSync(first.file)
    })
    await writing.says('failed EPIPE')
    await writing.standsStill()
    const second = read()
    const readUntil = async (isOver: () => boolean): Promise<void> => {
      for (; !isOver(); await delay(5)) text += second.text()
    }
    await readUntil(() => writing.messages.includes('recovered'))
    let hasEnded = false
    const stopping = writing.stop().finally(() => (hasEnded = true))
    await readUntil(() => hasEnded)
    const { made, lost } = await stopping
    text += second.text()
    closeSync(second.file)
    assert.equal(lost, 0)
    assertLines(numbersIn(text), 1, made)
  })

  it('does not start on a pipe that nobody reads, or where it may not write', async () => {
    execFileSync('mkfifo', [path])
    for (const name of [path, join(directory, 'nowhere', 'audit.jsonl'), directory]) {
      const writing = write({ path: name })
      assert.equal(await writing.ended, 1)
      assert.match(writing.messages, /ENXIO|ENOENT|EISDIR/)
    }
  })
})

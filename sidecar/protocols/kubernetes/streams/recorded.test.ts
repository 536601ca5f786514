/** What recordings hold of shells that real clients start through a real gateway. */
import assert from 'node:assert/strict'
import { execQuery, PodPrograms, PodStream } from '../../../../test/pod-programs.ts'
import { recordingsOf } from '../../../../test/recordings.ts'

const rules = `    - {name: run, match: {actions: ["k8s:exec"]}, effect: allow}
    - name: say
      match: {actions: ["k8s:shell"], condition: "command.shell.programs.all(program, program == 'echo')"}
      effect: allow
`
const policy = '  recording: {mode: full, bytesPerCommand: 512}\n  audit: {text: full}\n'

describe('the recording of a shell whose lines are decided', function () {
  this.timeout(60_000)
  let pods: PodPrograms

  before(async () => {
    pods = await PodPrograms.start()
  })
  after(() => pods[Symbol.asyncDispose]())

  it('shows what it writes as its own, and after each line as much as after any other', async () => {
    await using guard = await pods.guard(rules, policy)
    const stream = await new PodStream(guard, execQuery(['sh'], '&stdin=true')).open()
    for (const letter of ['x', 'y']) {
      stream.send(0, `echo ${letter.repeat(800)}\n`)
      await stream.shows(1, new RegExp(`${letter}\n`))
    }
    stream.send(255, Buffer.of(0))
    await stream.closed
    await guard.stop()
    const [{ entries } = { entries: [] }] = await recordingsOf(guard.directory)
    const commands = entries.flatMap(({ entry }) => (entry.type === 'command' ? [entry] : []))
    const [shell, ...lines] = commands
    assert.deepEqual(
      [shell, ...lines].map((command) => command?.actions[0]),
      ['k8s:exec', 'k8s:shell', 'k8s:shell'],
    )
    const wrote = entries.flatMap(({ entry, of }) => {
      if (entry.type !== 'response') return []
      assert.equal(of, shell?.reference)
      return [entry.bytes.toString()]
    })
    const output = wrote.join('').replace(/^HTTP 101\n.*?\n\n/s, '')
    assert.match(output, /^x{400,512}y{512}$/)
    const leftOut = new Map(
      entries.flatMap(({ entry }) =>
        entry.type === 'outcome' ? [[entry.reference, entry.responseLeftOut ?? 0] as const] : [],
      ),
    )
    assert.deepEqual(
      lines.map(({ reference }) => leftOut.get(reference)),
      [0, 0],
    )
    assert.equal(leftOut.get(shell?.reference ?? ''), 2 * 801 - output.length)
  })
})

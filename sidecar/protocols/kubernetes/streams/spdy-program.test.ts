/** Programs that clients of SPDY start through a real gateway; they run, and are guarded as those of WebSocket are. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventuallyWith } from '../../../../test/eventually.ts'
import { everythingOfPods, execQuery, PodStream, TestedPods } from '../../../../test/pod-programs.ts'
import { recordingsOf } from '../../../../test/recordings.ts'
import { type SpdyOptions, SpdyProgram, upgraded } from '../../../../test/spdy-programs.ts'
import { listRequests } from '../../../approvals/desk.ts'
import { SpdyChannels } from './spdy-channels.ts'
import { control, data, number, type Pairs, SpdyClient } from './testing.ts'

const eventually = eventuallyWith(() => 'bytes wait to be read')

describe('a program in a pod, over SPDY', function () {
  this.timeout(60_000)
  const pods = new TestedPods()
  const { start, lines, asked, approve } = pods
  const output = ['error', 'stdout', 'stderr']
  const input = ['error', 'stdin', 'stdout', 'stderr']
  const terminal = ['error', 'stdin', 'stdout', 'resize']
  const exec = async (command: readonly string[], more = '', streams = output): Promise<SpdyProgram> => {
    return await SpdyProgram.open(pods.gateway, execQuery(command, more), streams)
  }
  const refusal = async (query: string, options?: SpdyOptions): Promise<string> => {
    const answer = await upgraded(pods.gateway, query, options)
    assert.ok('message' in answer)
    return answer.message
  }

  it('runs, and its output and result come back, and the end of each', async () => {
    await start()
    const program = await exec(['sh', '-c', 'echo out; echo err >&2; exit 3'])
    await program.closed
    assert.equal(program.seen('stdout'), 'out\n')
    assert.equal(program.seen('stderr'), 'err\n')
    assert.match(program.seen('error'), /"NonZeroExitCode"/)
    assert.deepEqual(program.ended, output)
    assert.ok(program.hasLeft)
    const [line] = await lines()
    assert.deepEqual(line?.error, { code: 'exit-3' })
    assert.deepEqual(pods.reached[0]?.protocols, ['v5.channel.k8s.io'])
  })

  it('gets input that is allowed as it comes, and its end', async () => {
    await start()
    const program = await exec(['cat'], '&stdin=true', input)
    program.write('stdin', 'no line')
    await program.shows('stdout', /no line/)
    program.end('stdin')
    await program.closed
    assert.match(program.seen('error'), /Success/)
  })

  it('has a terminal, whose sizes are its own', async () => {
    const { directory } = await start(undefined, '  recording: {mode: full}\n')
    const program = await exec(['cat'], '&stdin=true&tty=true', terminal)
    program.write('resize', '{"Width":80,"Height":24}\n')
    program.write('stdin', 'typed')
    await program.shows('stdout', /typed/)
    program.leave()
    await program.closed
    await pods.gateway.stop()
    const [{ entries } = { entries: [] }] = await recordingsOf(directory)
    const shown = entries.flatMap(({ entry }) => (entry.type === 'response' ? [entry.bytes.toString()] : []))
    assert.deepEqual(shown.slice(1), ['\u001b[8;24;80t', 'typed'])
  })

  const linesOfShell = `    - {name: run, match: {actions: ["k8s:exec"]}, effect: allow}
    - name: look
      match: {actions: ["k8s:shell"], condition: "command.shell.programs.all(program, program == 'echo')"}
      effect: allow
`
  it('that is a shell gets the lines that are allowed, and hears why not of others', async () => {
    await start(linesOfShell)
    const program = await exec(['sh'], '&stdin=true', input)
    program.write('stdin', 'echo one\nrm -rf /none\necho t')
    program.write('stdin', 'wo\necho last')
    program.end('stdin')
    await program.closed
    assert.equal(program.seen('stdout'), 'one\ntwo\nlast\n')
    assert.match(program.seen('stderr'), /^firebreak: denied: no rule allows k8s:shell on object [^\n]*\n$/)
    assert.doesNotMatch(pods.given, /rm/)
  })

  it('that is a shell in a terminal hears it there', async () => {
    await start(linesOfShell)
    const program = await exec(['bash'], '&stdin=true&tty=true', terminal)
    program.write('stdin', 'echo a\r')
    await program.shows('stdout', /denied: no rule allows k8s:shell.*\r\n/)
    assert.equal(pods.given, '')
    program.leave()
    await program.closed
  })

  const touching = `${everythingOfPods}    - name: ask
      match: {actions: ["k8s:shell"], condition: "'touch' in command.shell.programs"}
      effect: requireApproval
      approval: {expiresAfter: 5m}
`
  for (const [name, leave] of [
    ['says that it leaves', (program: SpdyProgram) => program.leave()],
    ['breaks off', (program: SpdyProgram) => void program.socket.destroy()],
  ] as const)
    it(`does not get a held line when its client ${name}, who was answered until then`, async () => {
      await start(touching)
      const program = await exec(['sh'], '&stdin=true', input)
      program.write('stdin', 'touch /none\n')
      await program.shows('stderr', /held for approval/)
      program.ping(7)
      await program.hears(() => program.pongs.includes(7))
      leave(program)
      await program.closed
      await asked('Withdrawn')
      assert.equal(pods.given, '')
    })

  it('does not get a held line when its client leaves without having read what came before', async () => {
    const { directory } = await start(touching)
    const program = await exec(['sh'], '&stdin=true', input)
    const paused = join(directory, 'paused')
    program.write('stdin', `until test -e ${paused}; do sleep 0.05; done; seq 5000000\ntouch /none\n`)
    await program.shows('stderr', /held for approval/)
    program.socket.pause()
    writeFileSync(paused, '')
    await eventually(() => String(pods.unsent), /^[1-9]\d{6}/)
    program.leave()
    await asked('Withdrawn')
    assert.doesNotMatch(pods.given, /touch/)
  })

  it('says why a line is refused where there is no stream for errors', async () => {
    await start(linesOfShell)
    const program = await SpdyProgram.open(pods.gateway, 'command=sh&stdin=true&stdout=true', [
      'error',
      'stdin',
      'stdout',
    ])
    program.write('stdin', 'rm -rf /none\n')
    await program.shows('stdout', /denied: no rule allows k8s:shell/)
    program.leave()
    await program.closed
  })

  it('is masked as it would be for others', async () => {
    await start(undefined, '  detection: {kinds: [email]}\n')
    const says = 'printf "a ann@shop."; sleep 0.1; echo example; echo bob@shop.example >&2'
    const program = await exec(['sh', '-c', says])
    await program.closed
    assert.match(program.seen('stdout'), /^a .+\n$/)
    assert.doesNotMatch(program.seen('stdout') + program.seen('stderr'), /ann|bob/)
    const [line] = await lines()
    assert.deepEqual(line?.masked, ['text'])
  })

  it('is agreed to once, though its client asks by WebSocket and then by SPDY', async () => {
    const { directory } = await start(`    - name: ask
      match: {actions: ["k8s:exec"]}
      effect: requireApproval
      approval: {expiresAfter: 5m, whileWaiting: fail}
${everythingOfPods}`)
    const agreed = execQuery(['echo', 'agreed'])
    assert.match((await new PodStream(pods.gateway, agreed).refusal).message, /approv/)
    assert.match(await refusal(agreed), /approv/)
    assert.equal((await listRequests(join(directory, 'approvals'))).length, 1)
    await approve()
    const program = await exec(['echo', 'agreed'])
    await program.closed
    assert.equal(program.seen('stdout'), 'agreed\n')
  })

  it('ends with the reason where another policy would not let it begin', async () => {
    const { directory } = await start()
    const program = await exec(['cat'], '&stdin=true', input)
    const path = join(directory, 'firebreak.yaml')
    const denying = '    - {name: no, match: {actions: ["k8s:exec"]}, effect: deny}\n'
    writeFileSync(path, readFileSync(path, 'utf8') + denying)
    await program.closed
    assert.match(program.seen('error'), /"Failure".*denied/)
  })

  it('is heard no more while its client does not listen', async () => {
    await start()
    const message = Buffer.alloc(512 * 1024, 1)
    pods.messages = Array.from({ length: 128 }, () => message)
    const program = await exec(['yes'])
    program.socket.pause()
    let unsent = -1
    while (pods.unsent !== unsent) {
      unsent = pods.unsent
      await delay(300)
    }
    assert.ok(unsent > 32 * 1024 * 1024, `${unsent} of ${message.length * pods.messages.length} bytes wait`)
    program.socket.destroy()
  })

  it('answers each of many pings that come at once', async () => {
    await start()
    const program = await exec(['cat'], '&stdin=true', input)
    const ids = Array.from({ length: 20_000 }, (_, index) => 2 * index + 1)
    program.socket.write(Buffer.concat(ids.map((id) => control(6, number(id)))))
    await program.hears(() => program.pongs.length === ids.length)
    assert.deepEqual(program.pongs, ids)
    program.leave()
    await program.closed
  })

  it('gets data that is one frame of the longest, in parts', async () => {
    await start()
    const program = await exec(['wc', '-c'], '&stdin=true', input)
    const length = 0xffffff
    const head = Buffer.from([0, 0, 0, 3, 1, 0xff, 0xff, 0xff])
    program.socket.write(head)
    program.socket.write(Buffer.alloc(length, 'x'))
    await program.closed
    assert.equal(program.seen('stdout').trim(), String(length))
  })

  it('is over when its client leaves before it has opened all streams', async () => {
    await start()
    const program = await exec(['sleep', '30'], '', ['error', 'stdout'])
    program.leave()
    await program.closed
    const [line] = await lines()
    assert.deepEqual(line?.error, { code: 'gone' })
    assert.equal(program.seen('stdout'), '')
  })

  it('waits for its streams no longer than kubelets do', async () => {
    using channels = new SpdyChannels(['error', 'stdout'], 10)
    assert.ok((await channels.read(await new SpdyClient().opens(1, [['streamtype', 'error']]))).ok)
    await assert.rejects(channels.ready, /has not opened its streams in time/)
  })

  describe('is not started', () => {
    const refusals: readonly (readonly [string, SpdyOptions, RegExp])[] = [
      ['without a protocol', { protocols: [] }, /over SPDY, a stream is one of v4/],
      ['in protocols of others', { protocols: ['v3.channel.k8s.io', 'v6.channel.k8s.io'] }, /one of v4/],
      ['in one that only WebSocket has', { protocols: ['v5.channel.k8s.io'] }, /one of v4/],
      ['in one that is for ports', { protocols: ['portforward.k8s.io'] }, /a stream of exec is one of/],
      ['as both', { headers: { upgrade: 'SPDY/3.1, websocket' } }, /they need an upgrade/],
      [
        'as both, by headers',
        { headers: { 'sec-websocket-key': 'eA==' } },
        /SPDY or WebSocket, and not both/,
      ],
      ['as another SPDY', { headers: { upgrade: 'SPDY/3' } }, /they need an upgrade/],
      ['by another method', { method: 'PUT' }, /they need an upgrade|has no method|405/],
      ['with a body', { body: '{}' }, /they need an upgrade/],
      ['with a body in chunks', { body: '{}', chunked: true }, /they need an upgrade/],
    ]
    for (const [name, options, says] of refusals)
      it(name, async () => {
        await start()
        assert.match(await refusal(execQuery(['id']), options), says)
        assert.deepEqual(pods.reached, [])
      })

    it('where policy does not let it', async () => {
      await start('    - {name: run, match: {actions: ["k8s:exec"]}, effect: allow}\n')
      const says = /no rule allows k8s:stdin on object prod\.pods\.web/
      assert.match(await refusal(execQuery(['cat'], '&stdin=true')), says)
      assert.deepEqual(pods.reached, [])
    })
  })

  it('is refused where the API server answers in another protocol', async () => {
    await start()
    pods.protocol = 'v4.channel.k8s.io'
    assert.match(await refusal(execQuery(['echo', 'x'])), /has agreed to what it was not offered/)
    const [line] = await lines()
    assert.deepEqual(line?.error, { code: 'unavailable' })
  })

  describe('is ended, and gets nothing,', () => {
    type Violation = (program: SpdyProgram) => Promise<void> | void
    const opening = (stream: number, pairs: Pairs): Violation => {
      return (program) => program.opens(stream, pairs)
    }
    const sending = (bytes: Buffer): Violation => {
      return (program) => void program.socket.write(bytes)
    }
    const noBlock = Buffer.concat([Buffer.from([0, 0, 0, 9, 0, 0, 0, 0, 0, 0]), Buffer.alloc(20, 0x41)])
    const violations: readonly (readonly [string, string, Violation])[] = [
      ['by a stream of unknown type', '', opening(99, [['streamtype', 'data']])],
      ['by a stream without a type', '', opening(99, [])],
      ['by input twice', '&stdin=true', opening(99, [['streamtype', 'stdin']])],
      ['by input that was not asked for', '', opening(99, [['streamtype', 'stdin']])],
      ['by sizes of no terminal', '', opening(99, [['streamtype', 'resize']])],
      ['by a type in capitals', '', opening(99, [['streamtype', 'STDERR']])],
      ['by a name in capitals', '', opening(99, [['StreamType', 'stderr']])],
      ['by headers that are none', '', sending(control(1, noBlock))],
      ['by writing to its output', '', (program) => program.write('stdout', 'x')],
      ['by writing to its result', '', (program) => program.write('error', 'x')],
      ['by data of no stream', '', sending(data(99, 'x'))],
      ['by data of the stream zero', '', sending(data(0, ''))],
      ['by giving up no stream', '', sending(control(3, Buffer.alloc(8, 1)))],
      ['by further headers', '', sending(control(8, Buffer.alloc(4)))],
      ['by an answer', '', sending(control(2, Buffer.alloc(4, 1)))],
      ['by settings', '', sending(control(4, Buffer.alloc(4)))],
      ['by a ping with a number of ours', '', (program) => program.ping(2)],
      ['by a ping without a number', '', (program) => program.ping(0)],
      ['by what is no SPDY', '', sending(Buffer.from('\x80GET / HTTP/1.1\r\n\r\n', 'latin1'))],
    ]
    for (const [name, more, violate] of violations)
      it(name, async () => {
        await start()
        const program = await exec(['cat'], more, more === '' ? output : input)
        await violate(program)
        await program.closed
        assert.match(program.seen('error'), /"Failure"/)
        assert.equal(pods.given, '')
        const [line] = await lines()
        assert.deepEqual(line?.error, { code: 'malformed' })
      })

    it('by input behind its end', async () => {
      await start()
      const program = await exec(['sleep', '9'], '&stdin=true', input)
      program.end('stdin')
      program.write('stdin', 'x')
      await program.closed
      assert.match(program.seen('error'), /none of, or no more/)
      assert.equal(pods.given, '')
    })

    it('by input before all of its streams are there', async () => {
      await start()
      const program = await exec(['cat'], '&stdin=true', ['error', 'stdin', 'stdout'])
      program.write('stdin', 'x')
      await program.closed
      assert.match(program.seen('error'), /before it had opened/)
      assert.equal(pods.given, '')
    })

    for (const [name, size, says] of [
      ['none', '{"Width":"80","Height":24}', /not its to write to/],
      ['longer than any', '{"Width":80,"Height":24}'.padEnd(300), /longer than any/],
    ] as const)
      it(`by a size that is ${name}`, async () => {
        await start()
        const program = await exec(['cat'], '&stdin=true&tty=true', terminal)
        program.write('resize', size)
        await program.closed
        assert.match(program.seen('error'), says)
      })

    for (const stream of [1, 2, 0x80000001])
      it(`by a stream with the number ${stream}`, async () => {
        await start()
        const program = await exec(['cat'], '', ['error'])
        await program.opens(stream, [['streamtype', 'stdout']])
        await program.closed
        assert.match(program.seen('error'), /a number that is not its own/)
      })
  })
})

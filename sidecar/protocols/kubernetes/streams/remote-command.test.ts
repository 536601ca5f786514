/** Programs that real clients of WebSocket start through a real gateway; they run. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import {
  everythingOfPods,
  execQuery,
  PodStream,
  type StreamOptions,
  TestedPods,
} from '../../../../test/pod-programs.ts'
import { recordingsOf } from '../../../../test/recordings.ts'

describe('a program in a pod', function () {
  this.timeout(60_000)
  const pods = new TestedPods()
  const { start, lines, asked, approve } = pods
  const exec = (command: readonly string[], more = '', options: StreamOptions = {}): PodStream =>
    new PodStream(pods.gateway, execQuery(command, more), options)

  it('runs, and its output and result come back', async () => {
    await start()
    const stream = exec(['sh', '-c', 'echo out; echo err >&2; exit 3'])
    assert.equal(await stream.closed, 1000)
    assert.equal(stream.seen(1), 'out\n')
    assert.equal(stream.seen(2), 'err\n')
    assert.match(stream.seen(3), /"NonZeroExitCode"/)
    const [line] = await lines()
    assert.deepEqual(line?.error, { code: 'exit-3' })
  })

  it('gets input that is allowed as it comes, and its end', async () => {
    await start()
    const stream = await exec(['cat'], '&stdin=true').open()
    stream.send(0, 'no line')
    await stream.shows(1, /no line/)
    stream.send(255, Buffer.of(0))
    assert.equal(await stream.closed, 1000)
    assert.match(stream.seen(3), /Success/)
  })

  it('gets no input where only running it is allowed', async () => {
    await start('    - {name: run, match: {actions: ["k8s:exec"]}, effect: allow}\n')
    const refused = await exec(['cat'], '&stdin=true').refusal
    assert.equal(refused.status, 403)
    assert.match(refused.message, /no rule allows k8s:stdin on object prod\.pods\.web/)
    assert.equal(await exec(['echo', 'x']).closed, 1000)
  })

  it('is started when it is asked for again, once people have agreed', async () => {
    await start(`    - name: ask
      match: {actions: ["k8s:exec"]}
      effect: requireApproval
      approval: {expiresAfter: 5m, whileWaiting: fail}
${everythingOfPods}`)
    assert.match((await exec(['echo', 'agreed']).refusal).message, /approv/)
    await approve()
    assert.match((await exec(['echo', 'another']).refusal).message, /approv/)
    const stream = exec(['echo', 'agreed'])
    assert.equal(await stream.closed, 1000)
    assert.equal(stream.seen(1), 'agreed\n')
  })

  describe('of a shell whose lines are decided', () => {
    const allowed = `    - {name: run, match: {actions: ["k8s:exec"]}, effect: allow}
    - name: look
      match:
        actions: ["k8s:shell"]
        condition: "command.shell.programs.all(program, program in ['echo', 'cat', 'ls']) && size(command.shell.writes) == 0"
      effect: allow
`
    const given = (line: string): string => `{ ${line}\n} </dev/null\n`
    for (const shell of ['sh', 'bash', 'dash'])
      it(`runs in ${shell} what is allowed, and goes on after what is not`, async () => {
        await start(allowed)
        const stream = await exec([shell], '&stdin=true').open()
        stream.send(0, 'echo one\nrm -rf /none\necho t')
        stream.send(0, 'wo\n')
        await stream.shows(1, /two/)
        assert.equal(stream.seen(1), 'one\ntwo\n')
        assert.match(
          stream.seen(2),
          /^firebreak: denied: no rule allows k8s:shell on object prod\.pods\.web \(\S+\)\n$/,
        )
        stream.send(255, Buffer.of(0))
        assert.equal(await stream.closed, 1000)
        assert.equal(pods.given, given('echo one') + given('echo two'))
        const texts = (await lines()).map(({ decision, actions }) => [decision, (actions as string[])[0]])
        assert.deepEqual(texts.toSorted(), [
          ['allow', 'k8s:exec'],
          ['allow', 'k8s:shell'],
          ['allow', 'k8s:shell'],
          ['deny', 'k8s:shell'],
        ])
      })

    const refusals: readonly (readonly [string, string])[] = [
      ['another program behind it', 'echo a; rm b\n'],
      ['another program in it', 'echo $(rm b)\n'],
      ['a name that is made', 'x=rm; $x b\n'],
      ['a file that is written', 'echo a > b\n'],
      ['a line that goes on', 'echo a \\\nrm b\n'],
      ['a quotation that goes on', 'echo "a\nrm b\n'],
      ['a document that follows', 'cat << E\nrm b\nE\n'],
      ['a carriage return', 'echo a\rrm b\n'],
      ['a zero', 'echo a\0; rm b\n'],
      ['bytes that are no text', Buffer.from([0x65, 0x63, 0x68, 0x6f, 0x20, 0xff, 0x0a]).toString('latin1')],
      ['a search path', 'PATH=/tmp ls\n'],
      ['a text that is run', 'eval "rm b"\n'],
      ['a shell within the shell', 'sh -c "rm b"\n'],
      ['a function', 'echo() { rm b; }\n'],
    ]
    for (const [name, line] of refusals)
      it(`does not get ${name}`, async () => {
        await start(allowed)
        const stream = await exec(['sh'], '&stdin=true').open()
        stream.send(0, Buffer.from(line, 'latin1'))
        stream.send(0, 'echo over\n')
        await stream.shows(1, /over/)
        assert.match(stream.seen(2), /denied/)
        assert.equal(pods.given, given('echo over'))
        stream.socket.close()
        await stream.closed
      })

    it('gets the last line without its end as well, if it is allowed', async () => {
      await start(allowed)
      const stream = await exec(['sh'], '&stdin=true').open()
      stream.send(0, 'echo last')
      stream.send(255, Buffer.of(0))
      assert.equal(await stream.closed, 1000)
      assert.equal(stream.seen(1), 'last\n')
    })

    const eaters = ['head -c 7', 'dd bs=7 count=1', 'cat', 'sed -n 1q', 'if head -c 7; then cat; fi']
    for (const eater of eaters)
      it(`gets lines whole, though \`${eater}\` would take some of them`, async () => {
        await start(`    - name: any
      match:
        actions: ["k8s:exec", "k8s:shell"]
        condition: "command.shell.programs.all(program, program in ['bash', 'head', 'dd', 'cat', 'sed', 'echo'])"
      effect: allow
`)
        const stream = await exec(['bash'], '&stdin=true').open()
        stream.send(0, `a=over\n\n# nothing\n${eater}\necho pwd;  echo $a\n`)
        await stream.shows(1, /pwd\nover\n/)
        stream.socket.close()
        await stream.closed
      })

    const touching = `${everythingOfPods}    - name: ask
      match: {actions: ["k8s:shell"], condition: "'touch' in command.shell.programs"}
      effect: requireApproval
      approval: {expiresAfter: 5m}
`

    it('answers pings while a line is held', async () => {
      await start(touching)
      const stream = await exec(['sh'], '&stdin=true').open()
      stream.send(0, 'touch /none\n')
      await stream.shows(2, /held for approval/)
      const answered = once(stream.socket, 'pong')
      stream.socket.ping('there')
      assert.equal(String((await answered)[0]), 'there')
      stream.socket.close()
      await stream.closed
    })

    for (const [name, leave] of [
      ['says that it leaves', (stream: PodStream) => stream.socket.close()],
      ['breaks off', (stream: PodStream) => stream.socket.terminate()],
    ] as const)
      it(`does not get a held line when its client ${name}, and nobody is asked any more`, async () => {
        await start(touching)
        const stream = await exec(['sh'], '&stdin=true').open()
        stream.send(0, 'touch /none\n')
        await stream.shows(2, /held for approval/)
        leave(stream)
        await stream.closed
        const ended = await lines()
        assert.deepEqual(
          ended
            .filter(({ actions }) => (actions as string[]).includes('k8s:shell'))
            .map(({ error }) => error),
          [{ code: 'not-approved' }],
        )
        assert.equal(pods.given, '')
        await asked('Withdrawn')
      })

    it('has no line that is known once one has gone to it that is not', async () => {
      await start(`    - {name: run, match: {actions: ["k8s:*"]}, effect: allow}
    - name: ask
      match: {actions: ["k8s:shell"], condition: "'rm' in command.shell.programs"}
      effect: requireApproval
      approval: {expiresAfter: 5m}
`)
      const stream = await exec(['sh'], '&stdin=true').open()
      stream.send(0, 'echo known\necho "a\necho "; rm /none; echo "\n')
      await stream.shows(2, /held for approval/)
      await approve()
      await stream.shows(2, /held for approval[\s\S]*held for approval/)
      assert.equal(pods.given, `${given('echo known')}echo "a\n`)
      stream.socket.close()
      await stream.closed
    })

    for (const [name, command, more] of [
      ['in a terminal', ['bash'], '&stdin=true&tty=true'],
      ['that is interactive', ['bash', '-i'], '&stdin=true'],
      ['that is interactive, by several options in one', ['sh', '-li'], '&stdin=true'],
    ] as const)
      it(`has no line that is known ${name}`, async () => {
        await start(allowed)
        const stream = await exec(command, more).open()
        stream.send(0, 'echo a\n')
        await stream.shows(more.includes('tty') ? 1 : 2, /denied: no rule allows k8s:shell/)
        assert.equal(pods.given, '')
        stream.socket.close()
        await stream.closed
      })

    it('gets a held line when people agree, and what follows waits', async () => {
      await start(touching)
      const stream = await exec(['sh'], '&stdin=true').open()
      stream.send(0, 'touch /dev/null && echo touched\necho after\n')
      await stream.shows(2, /held for approval/)
      assert.equal(pods.given, '')
      await approve()
      await stream.shows(1, /touched\nafter\n/)
      stream.socket.close()
      await stream.closed
    })

    it('is started with all its input where no rule tells lines apart', async () => {
      await start()
      const stream = await exec(['sh'], '&stdin=true').open()
      stream.send(0, 'f() { echo $((1 + 1)); }\nf\n')
      await stream.shows(1, /^2\n/)
      stream.socket.close()
      await stream.closed
      const found = await lines()
      assert.deepEqual(
        found.map(({ actions }) => (actions as string[])[0]),
        ['k8s:exec'],
      )
    })
  })

  describe('whose output is looked through', () => {
    const emails = '  detection: {kinds: [email]}\n'

    it('shows what is masked as masked, on every channel, however it is cut', async () => {
      await start(undefined, emails)
      const stream = exec([
        'sh',
        '-c',
        'printf "a ann@shop."; sleep 0.1; echo example; echo bob@shop.example >&2',
      ])
      assert.equal(await stream.closed, 1000)
      assert.doesNotMatch(stream.seen(1) + stream.seen(2), /ann|bob/)
      const [line] = await lines()
      assert.deepEqual(line?.masked, ['text'])
    })

    it('shows nothing that is no text', async () => {
      await start(undefined, emails)
      const stream = exec(['sh', '-c', 'printf "\\377\\376"'])
      await stream.closed
      assert.equal(stream.seen(1), '')
      assert.match(stream.seen(3), /no text in UTF-8/)
    })

    it('is not started where it may show a field that is masked', async () => {
      await start(
        `${everythingOfPods}    - {name: hide, match: {tags: [secret]}, effect: mask, mask: {strategy: redact}}\n`,
        '',
        '  classification: [{tags: [secret], fields: ["*.secrets.*.data"]}]\n',
      )
      const refused = await exec(['env']).refusal
      assert.match(refused.message, /may be what is masked/)
    })
  })

  describe('whose frames', () => {
    const violations: readonly (readonly [string, string, (stream: PodStream) => void])[] = [
      ['come on the error channel', '&stdin=true', (stream) => stream.send(3, 'x')],
      ['come on the output', '&stdin=true', (stream) => stream.send(1, 'x')],
      ['come on a channel that there is none of', '&stdin=true', (stream) => stream.send(17, 'x')],
      ['have no channel', '&stdin=true', (stream) => stream.socket.send(Buffer.alloc(0))],
      ['are input that was not asked for', '', (stream) => stream.send(0, 'x')],
      ['are the size of no terminal', '', (stream) => stream.send(4, '{"Width":80,"Height":24}')],
      ['are a size that is none', '&tty=true', (stream) => stream.send(4, '{"Width":"80","Height":24}')],
      ['close another channel', '&stdin=true', (stream) => stream.send(255, Buffer.of(1))],
      ['are longer than any', '&stdin=true', (stream) => stream.socket.send(Buffer.alloc(2 * 1024 * 1024))],
    ]
    for (const [name, query, send] of violations)
      it(`${name} end it`, async () => {
        await start()
        const stream = await exec(['cat'], query).open()
        send(stream)
        assert.equal(await stream.closed, 1000)
        assert.match(stream.seen(3), /"Failure"/)
        assert.equal(pods.given, '')
        const [line] = await lines()
        assert.deepEqual(line?.error, { code: 'malformed' })
      })

    it('come as text, or in parts, are taken as what they are', async () => {
      await start()
      const stream = await exec(['cat'], '&stdin=true').open()
      stream.socket.send('\0text ', { binary: false })
      stream.socket.send(Buffer.from([0, 0x61]), { fin: false })
      stream.socket.send(Buffer.from('b'), { fin: true })
      await stream.shows(1, /text ab/)
      stream.socket.close()
      await stream.closed
    })
  })

  it('is recorded as its client saw it: its head, sizes, output and input', async () => {
    const { directory } = await start(undefined, '  recording: {mode: full}\n  audit: {text: full}\n')
    const stream = await exec(['cat'], '&stdin=true&tty=true').open()
    stream.send(4, '{"Width":80,"Height":24}')
    stream.send(0, 'typed')
    await stream.shows(1, /typed/)
    stream.socket.close()
    await stream.closed
    await pods.gateway.stop()
    const [{ entries } = { entries: [] }] = await recordingsOf(directory)
    assert.equal(entries.at(-1)?.entry.type, 'end')
    const bytes = (type: 'response' | 'input'): readonly string[] =>
      entries.flatMap(({ entry }) => (entry.type === type ? [entry.bytes.toString()] : []))
    assert.deepEqual(bytes('response'), [
      'HTTP 101\ncontent-type: application/vnd.firebreak.terminal\nterminal-tty: true\n\n',
      '\u001b[8;24;80t',
      'typed',
    ])
    assert.deepEqual(bytes('input'), ['typed'])
  })

  describe('is spoken to in protocols that are understood', () => {
    it('alone, of those that are offered', async () => {
      await start()
      const stream = exec(['echo', 'x'], '', {
        protocols: ['v4.base64.channel.k8s.io', 'v4.channel.k8s.io', 'channel.k8s.io'],
      })
      assert.equal(await stream.closed, 1000)
      assert.deepEqual(pods.reached[0]?.protocols, ['v4.channel.k8s.io'])
    })

    for (const protocols of [[], ['v4.base64.channel.k8s.io'], ['v6.channel.k8s.io']])
      it(`and not started with ${protocols.join() || 'none'}`, async () => {
        await start()
        const { status, message } = await exec(['id'], '', { protocols }).refusal
        assert.equal(status, 400)
        assert.match(message, /v5\.channel\.k8s\.io/)
        assert.deepEqual(pods.reached, [])
      })

    for (const [name, method, upgrade] of [
      [
        'WebSocket',
        'GET',
        'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io',
      ],
      ['SPDY', 'POST', 'Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io'],
    ] as const)
      it(`but not by who asks for ${name}, speaks before an answer, and leaves while people are asked`, async () => {
        const { address } =
          await start(`    - {name: ask, match: {actions: ["k8s:exec"]}, effect: requireApproval}
${everythingOfPods}`)
        const client = connect(address.port, address.host)
        const path = `/api/v1/namespaces/prod/pods/web/exec?${execQuery(['id'])}`
        client.write(`${method} ${path} HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\n${upgrade}\r\n\r\n`)
        await asked('Pending')
        client.end('early')
        await asked('Withdrawn')
        assert.deepEqual(pods.reached, [])
        client.destroy()
      })

    it('and refused where the API server answers in another', async () => {
      await start()
      pods.protocol = 'v4.base64.channel.k8s.io'
      const { status, message } = await exec(['echo', 'x']).refusal
      assert.equal(status, 502)
      assert.match(message, /has agreed to what it was not offered/)
      const [line] = await lines()
      assert.deepEqual(line?.error, { code: 'unavailable' })
    })
  })
})

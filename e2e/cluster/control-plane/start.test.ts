import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { processExists } from '../process.ts'
import { type ControlPlane, startControlPlane } from './start.ts'

describe('a control plane', function () {
  this.timeout('5m')
  let plane: ControlPlane

  before(async function () {
    // the first run on a machine compiles it
    this.timeout('45m')
    plane = await startControlPlane({ controllers: ['namespace-controller', 'serviceaccount-controller'] })
  })

  after(() => plane?.[Symbol.asyncDispose]())

  it('serves only who has a credential', async () => {
    await assert.rejects(
      fetch(`${plane.endpoint}/api`),
      'its certificate is not one of the public authorities',
    )
    const nobody = await plane.user({ name: 'nobody' })
    assert.equal((await nobody.kubectl.attempt(['get', 'namespaces'])).status, 1)
    assert.match(await plane.kubectl.run(['get', 'namespaces']), /^kube-system /m)
  })

  it('gives service accounts tokens of an audience', async () => {
    const own = await plane.serviceAccount('default', 'default')
    assert.match(await own.kubectl.run(['auth', 'whoami']), /Username +system:serviceaccount:default:default/)
    const other = await plane.serviceAccount('default', 'default', 'someone-else')
    const { stderr } = await other.kubectl.attempt(['auth', 'whoami'])
    assert.match(stderr, /Unauthorized|must be logged in/)
  })

  it('runs the controllers it is asked for', async () => {
    await plane.kubectl.run(['create', 'namespace', 'passing'])
    await plane.kubectl.run(['create', 'configmap', 'content', '--namespace=passing'])
    await plane.kubectl.run(['delete', 'namespace', 'passing', '--timeout=120s'])
  })

  it('keeps its objects when its API server is killed and started again', async () => {
    await plane.kubectl.run(['create', 'configmap', 'kept'])
    await plane.apiServer.kill()
    assert.equal((await plane.kubectl.attempt(['get', 'configmap', 'kept'])).status, 1)
    plane.apiServer.start()
    await plane.ready()
    assert.match(await plane.kubectl.run(['get', 'configmap', 'kept']), /kept/)
  })

  it('waits for an etcd that doesn’t answer', async () => {
    plane.etcd.signal('SIGSTOP')
    const answer = plane.kubectl.run(['get', 'configmap', 'kept'])
    const first = await Promise.race([answer, delay(500, 'no answer')])
    plane.etcd.signal('SIGCONT')
    assert.equal(first, 'no answer')
    assert.match(await answer, /kept/)
  })

  it('says what is wrong when a component does not start', async () => {
    const settings = { 'admission-control-config-file': '/nowhere' }
    await assert.rejects(startControlPlane({ apiServer: settings }), /kube-apiserver ended:.*\/nowhere/s)
  })

  it('ends with the process that started it, even if that is killed', async () => {
    const child = spawn(process.execPath, [fileURLToPath(new URL('start.test-child.ts', import.meta.url))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
    const { directory, processes } = JSON.parse(line) as { directory: string; processes: number[] }
    assert.deepEqual(processes.map(processExists), [true, true])
    child.kill('SIGKILL')
    for (let attempt = 0; processes.some(processExists) && attempt < 1_200; attempt++) await delay(50)
    assert.deepEqual(processes.map(processExists), [false, false])
    await using _next = await startControlPlane()
    assert.equal(existsSync(directory), false, 'its files are removed when the next one starts')
  })
})

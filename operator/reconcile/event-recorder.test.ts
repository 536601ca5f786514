import assert from 'node:assert/strict'
import { type ApiServer, startApiServer } from '../../test/api-server.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { events, namespaces } from '../kubernetes/objects.ts'
import { EventRecorder, type Happening } from './event-recorder.ts'

describe('the recorder of Events on a real API server', function () {
  this.timeout('4m')
  let api: ApiServer
  const lost: string[] = []
  before(async function () {
    this.timeout('45m')
    api = await startApiServer()
    for (const name of ['storm', 'forgotten', 'long'])
      await api.client.create(namespaces, { metadata: { name } })
  })
  after(() => api[Symbol.asyncDispose]())

  const about = (namespace: string) => ({
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'GuardrailPolicy',
    metadata: { name: 'guard', namespace, uid: `uid-in-${namespace}` },
  })
  const said = (note: string, type: Happening['type'] = 'Normal'): Happening => ({
    type,
    reason: 'Compiled',
    action: 'Reconcile',
    note,
  })
  const inNamespace = async (namespace: string) => (await api.client.list(events, { namespace })).items
  const recorder = () =>
    new EventRecorder(api.client, { replica: 'one', lost: (error) => lost.push(error.message) })
  const eventually = eventuallyWith(() => lost.join('\n'))
  /** Until that many times something was told. */
  const told = (namespace: string, times: number): Promise<string> =>
    eventually(
      async () =>
        String((await inNamespace(namespace)).reduce((sum, { series }) => sum + (series?.count ?? 1), 0)),
      new RegExp(`^${times}$`),
    )

  it('counts what happens again, and says no more of one object than client-go would', async () => {
    await using recording = recorder()
    for (let index = 0; index < 100; index++) recording.record(about('storm'), said('the same'))
    await told('storm', 25)
    const [one, ...others] = await inNamespace('storm')
    assert.equal(others.length, 0)
    assert.equal(one?.series?.count, 25)
    for (let index = 0; index < 100; index++)
      recording.record(about('storm'), said(`warning ${index}`, 'Warning'))
    await told('storm', 50)
    assert.equal((await inNamespace('storm')).filter(({ type }) => type === 'Warning').length, 25)
    assert.deepEqual(lost, [])
  })

  it('writes an Event anew that the API server has forgotten', async () => {
    await using recording = recorder()
    recording.record(about('forgotten'), said('again'))
    await told('forgotten', 1)
    for (const { metadata } of await inNamespace('forgotten'))
      await api.client.delete(events, metadata.name, 'forgotten')
    recording.record(about('forgotten'), said('again'))
    await told('forgotten', 2)
    assert.equal((await inNamespace('forgotten')).length, 1)
    assert.deepEqual(lost, [])
  })

  it('cuts a note that the API server would not take, between characters', async () => {
    await using recording = recorder()
    recording.record(about('long'), said('€'.repeat(1000)))
    await told('long', 1)
    const [{ note = '' } = {}] = await inNamespace('long')
    assert.match(note, /^€{300,}…$/)
    assert.ok(Buffer.byteLength(note) <= 1024)
  })

  it('never waits and never fails where there is no API server', async () => {
    await using recording = recorder()
    await api.cluster.apiServer.stop(0)
    recording.record(about('storm'), said('unheard'))
    await eventually(() => lost.join(), /ECONNREFUSED|ECONNRESET|socket|closed/)
  })
})

import assert from 'node:assert/strict'
import { typeUrls } from '@firebreak/xds'
import type { ControlPlane } from '../../e2e/index.ts'
import { startApiServer } from '../../test/api-server.ts'
import { untilTrue } from '../../test/eventually.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { AcknowledgementLedger } from './acknowledgements.ts'
import { Replicas } from './replicas.ts'

const agent = 'agents/bot'
const configuration = (revision: string) => ({ versions: new Map([[agent, revision]]) })

describe('what sidecars have acknowledged', function () {
  this.timeout(90_000)
  let ledger: AcknowledgementLedger
  let changed: string[]
  beforeEach(() => {
    ledger = new AcknowledgementLedger()
    changed = []
    ledger.changes.onKeys((key) => changed.push(key))
  })
  afterEach(() => ledger[Symbol.dispose]())

  it('is in force when the enforcer took it, and Envoy refused nothing', async () => {
    ledger.connected('pod', agent, 1)
    assert.deepEqual(ledger.of('other'), undefined)
    ledger.answered('pod', typeUrls.agentConfiguration, configuration('r1'))
    assert.equal(ledger.of('pod')?.revision, 'r1')
    ledger.answered('pod', typeUrls.listener, { versions: new Map(), refusal: 'no' })
    assert.deepEqual(ledger.of('pod'), { refusal: 'Envoy: no' })
    ledger.answered('pod', typeUrls.listener, { versions: new Map() })
    ledger.answered('pod', typeUrls.agentConfiguration, { ...configuration('r2'), refusal: 'not valid' })
    assert.deepEqual(ledger.of('pod'), { refusal: 'enforcer: not valid' })
    await untilTrue(() => changed.length > 0)
    assert.deepEqual(changed, [agent], 'told once of what came together')
  })

  it('stands while a sidecar is on its way to another stream', () => {
    ledger.connected('pod', agent, 1)
    ledger.answered('pod', typeUrls.agentConfiguration, configuration('r1'))
    ledger.disconnected('pod', 1)
    assert.equal(ledger.of('pod')?.revision, 'r1')
    ledger.connected('pod', agent, 2)
    ledger.disconnected('pod', 1)
    assert.equal(ledger.of('pod')?.revision, 'r1')
  })

  it('is what the later stream of a pod says, whichever replica has it', () => {
    ledger.connected('pod', agent, 5)
    ledger.answered('pod', typeUrls.agentConfiguration, configuration('r1'))
    ledger.told('two', new Map([['pod', { agent, connectedAt: 4, revision: 'r0' }]]))
    assert.equal(ledger.of('pod')?.revision, 'r1')
    ledger.told('two', new Map([['pod', { agent, connectedAt: 6, revision: 'r2' }]]))
    assert.equal(ledger.of('pod')?.revision, 'r2')
    ledger.told('two', undefined)
    assert.equal(ledger.of('pod')?.revision, 'r1')
  })
})

describe('replicas of the operator', function () {
  this.timeout('4m')
  const stack = new AsyncDisposableStack()
  let client: KubernetesClient
  let cluster: ControlPlane

  before(async function () {
    this.timeout('45m')
    const api = stack.use(await startApiServer())
    ;({ client, cluster } = api)
    await cluster.kubectl.run(['create', 'namespace', 'firebreak-system'])
  })
  after(() => stack.disposeAsync())

  it('tell each other what their sidecars said', async () => {
    const failures: string[] = []
    const replica = (name: string): AcknowledgementLedger => {
      const ledger = stack.use(new AcknowledgementLedger())
      const failed = (error: Error): void => void failures.push(error.message)
      stack.use(new Replicas(client, ledger, { namespace: 'firebreak-system', replica: name, failed }))
      return ledger
    }
    const [one, two] = [replica('one'), replica('two')]
    const heard: string[] = []
    two.changes.onKeys((key) => heard.push(key))
    one.connected('pod', agent, 1)
    one.answered('pod', typeUrls.agentConfiguration, configuration('r1'))
    await untilTrue(() => two.of('pod')?.revision === 'r1')
    await untilTrue(() => heard.includes(agent))
    one.answered('pod', typeUrls.agentConfiguration, { ...configuration('r2'), refusal: 'not valid' })
    await untilTrue(() => two.of('pod')?.refusal === 'enforcer: not valid')
    await cluster.kubectl.run([
      ...['delete', 'configmap', '-n', 'firebreak-system', 'firebreak-acknowledgements-one'],
    ])
    await untilTrue(() => two.of('pod') === undefined)
    assert.deepEqual(failures, [])
  })
})

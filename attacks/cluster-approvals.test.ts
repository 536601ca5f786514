import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { ConnectError } from '@connectrpc/connect'
import type { ApprovalRequest } from '@firebreak/crds'
import { parse } from 'yaml'
import {
  type ApprovalClient,
  approvalClient,
  decoded,
  encoded,
  heldCommand,
} from '../test/approval-client.ts'
import { ApprovalCluster } from '../test/approval-cluster.ts'
import { attacksDirectory } from '../test/shop.ts'

interface Attempt {
  readonly name: string
  readonly user: string
  readonly patch?: object
  readonly kubectl?: readonly string[]
  readonly input?: object
  readonly says?: string
}

interface Asked {
  readonly name: string
  readonly spec: Partial<ApprovalRequest['spec']>
  readonly named?: string
}

const { people, sidecars, ignored } = parse(
  readFileSync(new URL('cluster-approvals.yaml', attacksDirectory), 'utf8'),
) as {
  readonly people: readonly Attempt[]
  readonly sidecars: readonly (Asked & { readonly says: string })[]
  readonly ignored: readonly (Asked & { readonly reads: string; readonly is?: unknown })[]
}

describe('attacks on approvals in a cluster', function () {
  this.timeout(300_000)
  let cluster: ApprovalCluster
  /** Of the pod bot-1 of agents/support-bot, and of a pod of another agent. */
  let own: ApprovalClient
  let other: ApprovalClient

  const ask = async (spec: Asked['spec'] = {}, name?: string): Promise<ApprovalRequest> => {
    const request = heldCommand(`DELETE FROM carts WHERE id = ${Math.random()}`, spec)
    if (name !== undefined) request.metadata.name = name
    // a field that is not there is not sent
    const sent = JSON.parse(JSON.stringify(request), (_key, value) => (value === null ? undefined : value))
    return decoded((await own.client.ask({ request: encoded(sent) }, own.options)).request)
  }
  const refusalOf = async (asking: Promise<unknown>): Promise<string> => {
    const error = await asking.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof ConnectError, 'it was not refused')
    return error.rawMessage
  }
  const used = async (name: string, by = own): Promise<boolean> =>
    (await by.client.use({ name, claim: `claim-${Math.random()}` }, by.options)).used

  before(async function () {
    this.timeout('45m')
    cluster = await ApprovalCluster.start()
    await cluster.makePod('bot-1')
    await cluster.makePod('helper-1', 'helper')
    const of = async (pod: string) =>
      approvalClient(cluster.controlPort, cluster.controlCa, await cluster.tokenOf(pod))
    own = await of('bot-1')
    other = await of('helper-1')
    await cluster.addServiceAccount('bot')
  })
  after(() => cluster?.[Symbol.asyncDispose]())

  for (const { name, user, patch, kubectl, input, says } of people) {
    it(`${says === undefined ? 'nothing comes of' : 'refuses'} ${name}`, async () => {
      const request = (await ask()).metadata.name
      const words = kubectl ?? ['patch', 'approval', 'NAME', '--type=merge', '-p', JSON.stringify(patch)]
      const { status, said } = await cluster.as(
        user,
        words.map((word) => word.replace('NAME', request)),
        input && JSON.stringify(input),
      )
      if (says === undefined) assert.equal(status, 0, said)
      else {
        assert.notEqual(status, 0, said)
        assert.ok(said.includes(says), said)
      }
      const { spec, status: now } = await cluster.request(request)
      assert.deepEqual(
        [spec.decision, spec.votes, now?.state ?? 'Pending'],
        [undefined, undefined, 'Pending'],
      )
      assert.equal(await used(request), false)
    })
  }

  it('one who may take a request away gets nothing for it', async () => {
    const { metadata } = await ask()
    const saved = await cluster.request(metadata.name)
    assert.equal((await cluster.decide('alice', metadata.name, 'Approved')).status, 0)
    const approved = await cluster.request(metadata.name)
    assert.equal(await used(metadata.name), true)
    assert.equal((await cluster.as('mallory', ['delete', 'approval', metadata.name])).status, 0)
    for (const old of [saved, approved]) {
      const { status, said } = await cluster.as('mallory', ['apply', '-f', '-'], JSON.stringify(bare(old)))
      assert.notEqual(status, 0)
      assert.match(said, /approval requests are made by Firebreak/)
    }
    assert.match(await refusalOf(used(metadata.name)), /there is no request/)
  })

  for (const { name, spec, says } of sidecars)
    it(`a sidecar can't have people asked ${name}`, async () => {
      assert.ok((await refusalOf(ask(spec))).includes(says), await refusalOf(ask(spec)))
    })

  for (const { name, spec, named, reads, is } of ignored)
    it(`a sidecar says of itself ${name}`, async () => {
      const { metadata } = await ask(spec, named)
      const written = await cluster.request(metadata.name)
      const value = reads.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], {
        ...written,
        status: { state: 'Pending', ...written.status },
      })
      assert.deepEqual(value, is)
      assert.equal(await used(metadata.name), false)
      const lifetime = Date.parse(written.spec.expiresAt ?? '') - Date.parse(written.spec.requestedAt)
      assert.equal(lifetime, 300_000, 'as the policy says')
    })

  it('the request of another agent is not there', async () => {
    const { metadata } = await ask()
    assert.equal((await cluster.decide('alice', metadata.name, 'Approved')).status, 0)
    assert.match(await refusalOf(used(metadata.name, other)), /there is no request/)
    const { name } = metadata
    assert.match(await refusalOf(other.client.withdraw({ name, reason: 'x' }, other.options)), /there is no/)
    const told: string[] = []
    for await (const { news } of other.client.follow({ names: [name] }, other.options)) {
      told.push(news.case === 'request' ? decoded(news.value).metadata.name : `${news.case} ${news.value}`)
      if (news.case === 'complete') break
    }
    assert.deepEqual(told, [`gone ${name}`, 'complete true'])
    assert.equal(await used(name), true)
  })

  it('nobody is told anything without a token of a pod', async () => {
    const headers = { authorization: 'Bearer a.b.c' }
    for (const options of [{}, { headers }]) {
      assert.match(await refusalOf(own.client.use({ name: 'x', claim: 'y' }, options)), /token/)
      assert.match(await refusalOf(own.client.follow({}, options)[Symbol.asyncIterator]().next()), /token/)
    }
  })
})

/** As it is saved to be applied again. */
function bare({ apiVersion, kind, metadata: { name, namespace }, spec, status }: ApprovalRequest): object {
  return { apiVersion, kind, metadata: { name, namespace }, spec, status }
}

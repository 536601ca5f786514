/** What becomes of a patch while something else changes: the policy, the object, people's minds. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decideRequest, listRequests } from '@firebreak/sidecar/approvals/desk.ts'
import { eventuallyWith } from '../../../test/eventually.ts'
import { answers, deployment, image, PatchedApi, patchedPath, says } from '../../../test/patched-api.ts'
import type { Guard } from '../../../test/shop.ts'

const all = `    - {name: all, match: {actions: ["k8s:*"]}, effect: allow}
`
const work = `    - {name: work, match: {actions: ["k8s:get", "k8s:patch"], objects: [prod.deployments]}, effect: allow}
`
const ask = `    - {name: ask, match: {actions: ["k8s:patch"], objects: [prod.deployments]}, effect: requireApproval, approval: {expiresAfter: 5m}}
`

const strategic = 'application/strategic-merge-patch+json'

const eventually = eventuallyWith(() => 'what waits for people')

describe('a patch while something changes', function () {
  this.timeout(60_000)
  const api = new PatchedApi()
  const guarded = (rules: string): Promise<Guard> => api.guard({ rules })

  async function send(
    { address: { port } }: Guard,
    body: string | Buffer,
    type = strategic,
    path = patchedPath,
    method = 'PATCH',
  ): Promise<{ readonly status: number; readonly text: string }> {
    const headers = { 'content-type': type }
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers, body })
    return { status: answer.status, text: await answer.text() }
  }
  const sent = (): readonly string[] => api.sent.map(({ body }) => body)

  it('is not sent under another policy by which it would have been tried', async () => {
    const kept = '    - {name: kept, match: {actions: ["k8s:delete"]}, effect: deny}\n'
    const policy = await guarded(all + kept)
    const url = `http://127.0.0.1:${policy.address.port}/api/v1/namespaces/prod/pods?watch=1`
    const watches = await Promise.all(Array.from({ length: 128 }, () => fetch(url)))
    const waiting = send(policy, image)
    // what comes later is decided: so it was, and waits for a connection
    assert.equal((await send(policy, '', strategic, patchedPath, 'DELETE')).status, 403)
    assert.deepEqual(api.reached, [])
    const manifests = join(policy.directory, 'firebreak.yaml')
    // watches are not allowed any more, and make room
    writeFileSync(manifests, readFileSync(manifests, 'utf8').replace(all, work))
    const { status, text } = await waiting
    await Promise.allSettled(watches.map((watch) => watch.text()))
    assert.equal(status, 403, text)
    assert.match(text, /the policy has changed meanwhile; ask again/)
    assert.deepEqual(api.reached, [])
  })

  it('is answered by the API server once people agree, and not before', async () => {
    const policy = await guarded(work + ask)
    api.tried = says(422, 'canary-value is immutable')
    const waiting = send(policy, image)
    const approvals = join(policy.directory, 'approvals')
    const undecided = async (): Promise<string> => {
      const requests = await listRequests(approvals).catch(() => [])
      return requests.find(({ status: at }) => at?.state === 'Pending')?.metadata.name ?? ''
    }
    const decide = async (decision: 'Approved' | 'Denied'): Promise<void> => {
      const name = await eventually(undecided, /./)
      await decideRequest(approvals, name, { decision, reason: 'a test' })
    }
    await decide('Approved')
    const { status, text } = await waiting
    assert.equal(status, 422, text)
    assert.match(text, /canary-value is immutable/)
    assert.deepEqual([api.reached.length, sent()], [2, []])
    const refused = send(policy, image)
    await decide('Denied')
    const told = await refused
    assert.deepEqual([told.status, told.text.includes('canary')], [403, false], told.text)
  })

  /** An API server in which somebody else makes versions before the patch comes. */
  const changing = (times: number, status: number, later: object = {}): void => {
    let version = 7
    let left = times
    api.tried = (response, seen) =>
      answers(200, deployment({ version: String(version), container: version > 7 ? later : {} }))(
        response,
        seen,
      )
    api.done = (response, seen) => {
      if (left-- > 0) version++
      const isBound = seen.body.includes(`"${version}"`)
      const respond = isBound
        ? answers(200, deployment({ version: String(version + 1) }))
        : says(status, 'canary: stale')
      respond(response, seen)
    }
  }
  const bound = (version: number): string => `{"metadata":{"resourceVersion":"${version}"},${image.slice(1)}`
  const jsonPatch = '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"i"}]'
  const tested = (version: number): string =>
    jsonPatch.replace('[', `[{"op":"test","path":"/metadata/resourceVersion","value":"${version}"},`)

  for (const [type, patch, status, at] of [
    [strategic, image, 409, bound],
    ['application/json-patch+json', jsonPatch, 422, tested],
  ] as const) {
    it(`is tried and sent again where the object has changed (${type})`, async () => {
      changing(2, status)
      const policy = await guarded(work)
      const answer = await send(policy, patch, type)
      assert.equal(answer.status, 200, answer.text)
      assert.deepEqual(
        api.reached.map(({ body }) => body),
        [patch, at(7), patch, at(8), patch, at(9)],
      )
      const lines = await policy.audited(1)
      assert.deepEqual([lines.length, lines[0]?.decision, lines[0]?.error], [1, 'allow', undefined])
    })

    it(`is a conflict where the object changes each time (${type})`, async () => {
      changing(Number.POSITIVE_INFINITY, status)
      const answer = await send(await guarded(work), patch, type)
      assert.deepEqual(sent(), [7, 8, 9, 10, 11].map(at))
      const { code, reason, message } = JSON.parse(answer.text) as Readonly<Record<string, unknown>>
      assert.deepEqual([answer.status, code, reason], [409, 409, 'Conflict'])
      assert.match(String(message), /what it changes has changed meanwhile, 5 times in a row/)
    })

    it(`is refused where another's change gives it powers (${type})`, async () => {
      changing(1, status, { securityContext: { privileged: true } })
      const policy = await guarded(work)
      const answer = await send(policy, patch, type)
      assert.equal(answer.status, 403, answer.text)
      assert.match(answer.text, /no rule allows k8s:privileged on object prod\.deployments\.web/)
      assert.deepEqual(sent(), [at(7)])
      const [line] = await policy.audited(1)
      assert.equal(line?.decision, 'deny')
      assert.match(JSON.stringify(line?.actions), /k8s:privileged/)
    })
  }

  it('is answered as the API server does where that is about something else', async () => {
    api.done = says(409, 'the quota is being updated')
    const { status, text } = await send(await guarded(work), image)
    assert.deepEqual([status, api.reached.length], [409, 3])
    assert.match(text, /the quota is being updated/)
  })

  it('is answered by what the API server says of it by then', async () => {
    api.done = (response, seen) => {
      api.tried = says(404, 'web not found')
      says(409, 'stale')(response, seen)
    }
    const { status, text } = await send(await guarded(work), image)
    assert.deepEqual([status, sent().length], [404, 1])
    assert.match(text, /web not found/)
  })

  it('is not sent again under another policy', async () => {
    const policy = await guarded(work)
    const manifests = join(policy.directory, 'firebreak.yaml')
    api.done = (response, seen) => {
      api.tried = () =>
        writeFileSync(
          manifests,
          readFileSync(manifests, 'utf8').replace(work, work.replace('"k8s:patch"', '"k8s:list"')),
        )
      says(409, 'stale')(response, seen)
    }
    const { status, text } = await send(policy, image, `${strategic}; charset=utf-8`)
    assert.equal(status, 403, text)
    assert.match(text, /no rule allows k8s:patch/)
    assert.equal(sent().length, 1)
  })

  it('that makes its object changes none that somebody else has made', async () => {
    api.tried = answers(201, deployment({ version: '' }))
    api.done = answers(201, deployment({ version: '1' }))
    const applied =
      '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[]}}}}'
    const creating = await guarded(work.replace('"k8s:patch"', '"k8s:patch", "k8s:create"'))
    const apply = () =>
      send(creating, applied, 'application/apply-patch+yaml', `${patchedPath}?fieldManager=x`)
    const at = (version: string): string =>
      applied.replace('"metadata":{', `"metadata":{"resourceVersion":"${version}",`)
    const none = at('9223372036854775807')
    assert.equal((await apply()).status, 201)
    assert.deepEqual(sent(), [none])
    api.reached.length = 0
    api.done = (response, seen) => {
      api.tried = answers(200, deployment({ version: '7' }))
      const respond = seen.body === none ? says(409, 'stale') : answers(200, deployment({ version: '8' }))
      respond(response, seen)
    }
    api.tried = answers(201, deployment({ version: '' }))
    assert.equal((await apply()).status, 200)
    assert.deepEqual(sent(), [none, at('7')])
  })
})

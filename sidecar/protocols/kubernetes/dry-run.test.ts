/** What an API server is asked before a patch, and what becomes of the patch by whatever it answers. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  answers,
  deployment,
  image,
  PatchedApi,
  patchedPath,
  type Respond,
  says,
} from '../../../test/patched-api.ts'
import type { Guard } from '../../../test/shop.ts'

const allow = `    - {name: work, match: {actions: ["k8s:get", "k8s:patch"], objects: [prod.deployments]}, effect: allow}
`
const hide = `    - {name: hide, match: {tags: [confidential]}, effect: mask, mask: {strategy: redact}}
`

const privileged = deployment({ container: { securityContext: { privileged: true } } })
const command = '{"spec":{"template":{"spec":{"containers":[{"name":"c","command":["sh"]}]}}}}'
const bound = (patch: string): string => `{"metadata":{"resourceVersion":"7"},${patch.slice(1)}`
const label = '{"metadata":{"labels":{"a":"b"}}}'

describe('a patch that is tried before it is decided', function () {
  this.timeout(60_000)
  const api = new PatchedApi()

  const guarded = (
    rules: string,
    limits = '',
    credential = '{env: {password: SHOP_PASSWORD}}',
  ): Promise<Guard> => {
    const resource =
      '  classification: [{tags: [confidential], fields: ["*.deployments.*.spec.template.spec.serviceAccountName"]}]\n'
    return api.guard({ credential, resource, policy: limits, rules })
  }

  async function patch(
    { address: { port } }: Guard,
    body: string,
    signal: AbortSignal | null = null,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const url = `http://127.0.0.1:${port}${patchedPath}?fieldManager=x&fieldValidation=Strict`
    const headers = {
      'content-type': 'application/strategic-merge-patch+json',
      accept: 'application/json;as=Table;g=meta.k8s.io;v=v1, application/vnd.kubernetes.protobuf',
    }
    const answer = await fetch(url, { method: 'PATCH', headers, body, signal })
    return { status: answer.status, text: await answer.text() }
  }

  it('is asked about as it was sent, as the role, for an object in JSON', async () => {
    api.tried = answers(200, deployment())
    assert.equal((await patch(await guarded(allow), image)).status, 200)
    const [first, second] = api.reached
    assert.ok(first && second && api.reached.length === 2)
    assert.match(first.url, /\/deployments\/web\?fieldManager=x&fieldValidation=Strict&dryRun=All$/)
    assert.match(second.url, /\/deployments\/web\?fieldManager=x&fieldValidation=Strict$/)
    assert.equal(first.headers.accept, 'application/json')
    assert.deepEqual([first.body, second.body], [image, bound(image)])
    for (const { headers } of api.reached) {
      assert.equal(headers['content-type'], 'application/strategic-merge-patch+json')
      assert.equal(headers.authorization, 'Bearer canary-token')
    }
  })

  it('is not asked about where nothing could come of it', async () => {
    api.tried = answers(500, '')
    const policy = await guarded(`    - {name: all, match: {actions: ["k8s:*"]}, effect: allow}
    - {name: no, match: {actions: ["k8s:exec"]}, effect: deny}
    - {name: late, match: {actions: ["k8s:*"], condition: "command.k8s.dryRun"}, effect: deny}
`)
    for (const body of [image, label]) assert.equal((await patch(policy, body)).status, 200)
    await policy[Symbol.asyncDispose]()
    const narrow = await guarded(allow)
    assert.equal((await patch(narrow, label)).status, 200)
    assert.equal((await patch(narrow, '{"spec":{"template":{"spec":{"hostPID":true}}}}')).status, 403)
    assert.deepEqual(
      api.reached.map(({ body }) => body),
      [image, label, label],
    )
  })

  const refusals: readonly (readonly [name: string, Respond, status: number, says: RegExp])[] = [
    [
      'of a privileged pod',
      answers(200, privileged),
      403,
      /no rule allows k8s:privileged on object prod\.deployments\.web/,
    ],
    ['made anew', answers(201, privileged), 403, /no rule allows k8s:privileged/],
    [
      'unknown, since the API server fails',
      answers(503, privileged),
      502,
      /nothing was done: the target answered 503/,
    ],
    ['unknown, since the answer is no JSON', answers(200, 'x'), 403, /answered a dry run with no JSON/],
    ['unknown, since the answer says to be none', answers(200, deployment(), 'text/plain'), 403, /no JSON/],
    [
      'unknown, since the answer has a name twice',
      answers(200, '{"metadata":{"name":"web"},"spec":{},"spec":{}}'),
      403,
      /no JSON/,
    ],
    [
      'unknown, since it is another one',
      answers(200, { metadata: { name: 'other' } }),
      403,
      /something else than the object/,
    ],
    [
      'of no version',
      answers(200, { metadata: { name: 'web' } }),
      403,
      /does not say which version of it a dry run was tried on/,
    ],
    ['unknown, since there is none', answers(204, ''), 403, /answered 204 to a dry run/],
    [
      'elsewhere',
      (response) => response.writeHead(307, { location: '/x' }).end(),
      403,
      /answered 307 to a dry run/,
    ],
    ['too long', answers(200, `"${'x'.repeat(3 * 1024 * 1024)}"`), 502, /the answer has more than \d+ bytes/],
    ['broken off', (response) => response.destroy(), 502, /the target broke off/],
    [
      'unknown to a webhook',
      says(400, 'admission webhook "w" does not support dry run'),
      403,
      /can not be asked about a dry run/,
    ],
    ['not there', says(404, 'deployments.apps "web" not found'), 404, /^\{"kind":"Status".*not found/],
    ['in conflict', says(409, 'Apply failed with 1 conflict'), 409, /Apply failed/],
    ['not valid', says(422, 'spec is invalid'), 422, /is invalid/],
    ['not the role’s', says(403, 'forbidden: User cannot patch'), 403, /User cannot patch/],
    ['more than the API server takes', says(429, 'too many requests'), 429, /too many/],
  ]
  for (const [name, respond, status, message] of refusals)
    it(`is not sent where the object is ${name}`, async () => {
      api.tried = respond
      const policy = await guarded(allow)
      const answer = await patch(policy, image)
      assert.deepEqual([answer.status, api.sent], [status, []], answer.text)
      assert.match(answer.text, message)
      const lines = await policy.audited(1)
      assert.equal(lines.length, 1)
      assert.ok(lines[0]?.error !== undefined)
    })

  it('is not sent where the API server takes longer than policy lets it, or the client goes', async () => {
    api.tried = () => {}
    const policy = await guarded(allow, '  limits: {commandDuration: 1s}\n')
    const slow = await patch(policy, image)
    assert.equal(slow.status, 502)
    assert.match(slow.text, /there is no answer within 1 s/)
    const gone = new AbortController()
    api.tried = () => gone.abort()
    await assert.rejects(patch(policy, image, gone.signal))
    await delay(1_200)
    assert.deepEqual(api.sent, [])
    assert.equal((await policy.audited(2)).length, 2)
  })

  it('is tried again where the role has another credential meanwhile', async () => {
    const rotated = await guarded(allow, '', '{file: {path: token}}')
    api.tried = answers(200, deployment())
    assert.equal((await patch(rotated, image)).status, 200)
    api.reached.length = 0
    writeFileSync(join(rotated.directory, 'token'), 'canary-renewed')
    api.tried = (response, seen) => {
      const isRenewed = seen.headers.authorization === 'Bearer canary-renewed'
      const respond = isRenewed ? answers(200, deployment()) : says(401, 'Unauthorized')
      respond(response, seen)
    }
    assert.equal((await patch(rotated, image)).status, 200)
    assert.ok(api.sent.every(({ headers }) => headers.authorization === 'Bearer canary-renewed'))
    api.tried = says(401, 'Unauthorized')
    const { status, text } = await patch(rotated, image)
    assert.deepEqual([status, api.sent.length], [401, 1], text)
  })

  it('counts once, and its trial is not free', async () => {
    api.tried = answers(200, deployment())
    const limited = await guarded(allow, '  limits: {commandsPerMinute: 2}\n')
    assert.equal((await patch(limited, image)).status, 200)
    api.tried = answers(200, privileged)
    assert.equal((await patch(limited, image)).status, 403)
    assert.equal((await patch(limited, image)).status, 429)
    assert.equal(api.reached.length, 3)
  })

  it('runs no image that a condition does not allow, though it sets none', async () => {
    const ours = `    - {name: ours, match: {actions: ["k8s:patch"], condition: "command.k8s.images.all(image, image.startsWith('ours/'))"}, effect: allow}
`
    const policy = await guarded(ours)
    api.tried = answers(200, deployment({ container: { image: 'theirs/i' } }))
    assert.equal((await patch(policy, command)).status, 403)
    api.tried = answers(200, deployment({ container: { image: 'ours/i' } }))
    assert.equal((await patch(policy, command)).status, 200)
  })

  it('is told of by an alert about what comes of it', async () => {
    const all = `    - {name: all, match: {actions: ["k8s:*"]}, effect: allow}
    - {name: loud, match: {actions: ["k8s:privileged"]}, effect: alert}
`
    api.tried = answers(200, privileged)
    const policy = await guarded(all)
    assert.equal((await patch(policy, image)).status, 200)
    const [line] = await policy.audited(1)
    assert.deepEqual(line?.alerts, ['default/guard/loud'])
    assert.match(JSON.stringify(line?.actions), /"k8s:privileged"/)
  })

  it('shows nothing that is masked, neither in the API server’s words nor in ours', async () => {
    const policy = await guarded(allow + hide)
    for (const respond of [
      says(422, 'Invalid value: "canary-account"'),
      says(400, 'admission webhook "canary-account" does not support dry run'),
      answers(200, deployment({ pod: { serviceAccountName: 'canary-account' } })),
    ]) {
      api.tried = respond
      const { status, text } = await patch(policy, image)
      assert.ok(status >= 400 && !text.includes('canary'), text)
    }
    assert.deepEqual(api.sent, [])
  })
})

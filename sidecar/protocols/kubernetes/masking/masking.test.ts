import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { PolicySnapshot, Subject } from '@firebreak/policy'
import fc from 'fast-check'
import { parse } from 'yaml'
import { MaskedLabels, type TextMask } from '../../http/bodies/text-mask.ts'
import type { BodyTerms } from '../../http/request.ts'
import { analyse } from '../analysis/analyse.ts'
import { parseJson, plainValue } from '../documents/json.ts'
import { compileManifests, maskOfPolicy, requestOf } from '../testing.ts'
import { openTextMask } from './open.ts'

interface Case {
  readonly name: string
  readonly request: string
  readonly answer?: unknown
  readonly shows?: unknown
  readonly events?: readonly unknown[]
  readonly showsEvents?: readonly unknown[]
}

interface Data {
  readonly masks: readonly {
    readonly objects: readonly string[]
    readonly strategy: string
    readonly keepLast?: number
  }[]
  readonly cases: readonly Case[]
  readonly refused: readonly { readonly name: string; readonly request: string; readonly text: string }[]
}

// whole numbers that JavaScript has no number for stay as they are
const data = parse(readFileSync(new URL('masking.test.yaml', import.meta.url), 'utf8'), {
  intAsBigInt: true,
}) as Data

const subject: Subject = {
  chain: [{ identity: 'default/bot', groups: [] }],
  resource: 'default/cluster',
  role: 'r',
}

describe('answers of the Kubernetes API', () => {
  const policy = policyOf(data.masks)

  for (const { name, request, answer, shows, events, showsEvents } of data.cases) {
    const sent = events ? events.map((event) => `${json(event)}\n`).join('') : json(answer)
    const expected = showsEvents ? showsEvents.map((event) => `${json(event)}\n`).join('') : json(shows)

    it(`mask ${name}`, () => {
      const labels = new MaskedLabels()
      assert.equal(maskWhole(open(request, policy, labels), sent), expected)
      assert.equal(labels.list().length > 0, sent !== expected)
      assert.ok(!expected.includes('canary') && !expected.includes('Y2FuYXJ5'))
    })

    it(`mask ${name}, however it comes cut`, () => {
      const bytes = Buffer.from(sent)
      for (let cut = 1; cut < bytes.length; cut += 7) {
        const mask = open(request, policy, new MaskedLabels())
        const pieces = [mask.push(bytes.subarray(0, cut)), mask.push(bytes.subarray(cut)), mask.end()]
        assert.equal(
          pieces.map((piece) => (piece.ok ? piece.value.toString() : piece.error)).join(''),
          expected,
        )
      }
    })
  }

  for (const { name, request, text } of data.refused)
    it(`are withheld with ${name}`, () => {
      const mask = open(request, policy, new MaskedLabels())
      const pushed = mask.push(Buffer.from(text))
      const ended = pushed.ok ? mask.end() : pushed
      assert.ok(!ended.ok)
      assert.ok(pushed.ok ? pushed.value.length === 0 : true)
    })

  it('pass as they are where nothing of their kind is masked', () => {
    const text = '{"kind":"Service",  "spec":{"a":1.0e3,"a":2}}'
    const mask = open(
      'GET /api/v1/namespaces/prod/services/web',
      policyOf([{ objects: ['*.secrets'], strategy: 'redact' }]),
      new MaskedLabels(),
    )
    assert.equal(maskWhole(mask, text), text)
  })

  it('show what detectors find nowhere', () => {
    const labels = new MaskedLabels()
    const secret = {
      metadata: { name: 's', note: 'ada@example.com' },
      data: { mail: Buffer.from('to ada@example.com').toString('base64') },
    }
    const mask = open('GET /api/v1/namespaces/prod/secrets/s', policyOf([]), labels, ['email'])
    const shown = JSON.parse(maskWhole(mask, JSON.stringify(secret))) as typeof secret
    assert.deepEqual(shown.metadata, { name: 's', note: '<email>' })
    assert.equal(Buffer.from(shown.data.mail, 'base64').toString(), 'to <email>')
  })

  it('mask logs by detectors', () => {
    const mask = open(
      'GET /api/v1/namespaces/prod/pods/web/log',
      policyOf([]),
      new MaskedLabels(),
      ['email'],
      'text/plain',
    )
    assert.equal(maskWhole(mask, 'from ada@example.com\nok'), 'from <email>\nok')
  })

  it('in protobuf are withheld', () => {
    const opened = openFor(
      'GET /api/v1/namespaces/prod/secrets/s',
      policy,
      new MaskedLabels(),
      [],
      'application/vnd.kubernetes.protobuf',
    )
    assert.ok(!opened.ok && opened.error.includes('application/vnd.kubernetes.protobuf'))
  })

  it('never show a masked value, whatever else is in the object', () => {
    const document = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.string(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }),
      ),
    })).value
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), document),
        document,
        fc.string({ minLength: 1 }),
        (others, pin, name) => {
          const object = (secret: unknown): string =>
            JSON.stringify({ ...others, metadata: { name, namespace: 'prod' }, spec: { pin: secret } })
          const canary = 'canary-value'
          const shown = maskWhole(
            open('GET /apis/example.com/v1/namespaces/prod/widgets/w', policy, new MaskedLabels()),
            object([canary, pin]),
          )
          assert.ok(!shown.includes(canary))
          const { spec: _, ...rest } = JSON.parse(shown) as Record<string, unknown>
          const { spec: __, ...sent } = JSON.parse(object('')) as Record<string, unknown>
          if (!JSON.stringify(sent).includes('annotations')) assert.deepEqual(rest, sent)
        },
      ),
    )
  })

  it('are read as JSON.parse reads them', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const parsed = parseJson(Buffer.from(text))
        assert.ok(parsed.ok)
        assert.deepEqual(withObjects(plainValue(parsed.value)), JSON.parse(text))
      }),
    )
  })

  it('are nothing that a decoder breaks on', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const mask = open('GET /api/v1/secrets', policy, new MaskedLabels())
        const pushed = mask.push(Buffer.from(bytes))
        assert.equal(typeof (pushed.ok ? mask.end() : pushed).ok, 'boolean')
      }),
    )
  })
})

function policyOf(masks: Data['masks']): PolicySnapshot {
  const rules = [
    { name: 'all', effect: 'allow', match: { actions: ['k8s:*'] } },
    ...masks.map(({ objects, strategy, keepLast }, index) => ({
      name: `mask-${index}`,
      effect: 'mask',
      match: { objects },
      mask: { strategy, ...(keepLast !== undefined && { keepLast: Number(keepLast) }) },
    })),
  ]
  const documents = [
    {
      kind: 'ProtectedResource',
      metadata: { name: 'cluster' },
      spec: {
        type: 'kubernetes',
        address: 'h:1',
        roles: [{ name: 'r', credential: { file: { path: 'x' } } }],
      },
    },
    {
      kind: 'AgentIdentity',
      metadata: { name: 'bot' },
      spec: { access: [{ resource: 'cluster', roles: ['r'] }] },
    },
    { kind: 'GuardrailPolicy', metadata: { name: 'p' }, spec: { rules } },
  ]
  return compileManifests(
    documents
      .map((document) => JSON.stringify({ apiVersion: 'firebreak.dev/v1alpha1', ...document }))
      .join('\n---\n'),
  )
}

function openFor(
  line: string,
  policy: PolicySnapshot,
  labels: MaskedLabels,
  detectors: BodyTerms['detectors'],
  type: string,
): ReturnType<typeof openTextMask> {
  const body = line.startsWith('PATCH') ? '{}' : undefined
  const request = requestOf(
    line,
    body === undefined ? {} : { 'content-type': 'application/merge-patch+json' },
    body,
  )
  assert.ok(typeof request !== 'string', String(request))
  const analysed = analyse(request)
  assert.ok(analysed.ok)
  const terms: BodyTerms = {
    maskOf: maskOfPolicy(policy, subject, analysed.value.command),
    masksFields: true,
    detectors,
    maskKey: Buffer.alloc(32),
    whose: { owner: 'a test', key: Buffer.alloc(32) },
    allows: () => true,
  }
  return openTextMask(analysed.value.objects, type, terms, labels)
}

function open(
  line: string,
  policy: PolicySnapshot,
  labels: MaskedLabels,
  detectors: BodyTerms['detectors'] = [],
  type = 'application/json',
): TextMask {
  const opened = openFor(line, policy, labels, detectors, type)
  assert.ok(opened.ok, opened.ok ? '' : opened.error)
  return opened.value
}

function maskWhole(mask: TextMask, text: string): string {
  const pushed = mask.push(Buffer.from(text))
  assert.ok(pushed.ok, pushed.ok ? '' : pushed.error)
  const ended = mask.end()
  assert.ok(ended.ok, ended.ok ? '' : ended.error)
  return pushed.value.toString() + ended.value.toString()
}

/** As JSON, with whole numbers of any size. */
function json(value: unknown): string {
  const text = JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `#${inner}` : inner))
  return text.replaceAll(/"#(-?[0-9]+)"/g, '$1')
}

function withObjects(value: unknown): unknown {
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([name, inner]) => [name, withObjects(inner as unknown)]))
  return Array.isArray(value) ? value.map(withObjects) : value
}

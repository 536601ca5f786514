import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Touch } from '@firebreak/policy'
import { parse } from 'yaml'
import { anyRequest } from '../../bodies/testing.ts'
import type { HttpRequest, Understanding } from '../../request.ts'
import { AwsAnalysis } from './analysis.ts'

interface Source {
  readonly name: string
  readonly host?: string
  readonly copies?: string
  readonly renames?: string
  readonly direct?: readonly string[]
  readonly denied?: readonly string[]
  readonly opaque?: string
}

interface Deletion {
  readonly name: string
  readonly body?: string
  readonly encoding?: string
  readonly deletes?: readonly string[]
  readonly opaque?: string
}

const { sources, deletions } = parse(readFileSync(new URL('aws.test.yaml', import.meta.url), 'utf8')) as {
  sources: Source[]
  deletions: Deletion[]
}

function objectsOf({ touches }: Understanding, origin: Touch['origin']): string[] {
  return touches
    .filter((touch) => touch.origin === origin)
    .map(({ object }) => `/${object.path.join('/')}`)
    .sort()
}

function assertOpaque({ opaque }: Understanding, because: string | undefined): void {
  if (because === undefined) assert.deepEqual(opaque, [])
  else assert.ok(opaque.join().includes(because), opaque.join())
}

describe('what a request to S3 names beside its path', () => {
  const s3 = (host = 's3.example'): AwsAnalysis => new AwsAnalysis({ service: 's3', host })

  for (const { name, host, copies, renames, direct = [], denied = [], opaque } of sources)
    it(`is read where it has ${name}`, () => {
      const headers: HttpRequest['headers'] = [
        ...(copies === undefined ? [] : ([['x-amz-copy-source', copies]] as const)),
        ...(renames === undefined ? [] : ([['x-amz-rename-source', renames]] as const)),
      ]
      const understood = s3(host).understand({ ...anyRequest, method: 'PUT', headers })
      assertOpaque(understood, opaque)
      assert.deepEqual(objectsOf(understood, 'direct'), [...direct].sort())
      const implied = objectsOf(understood, 'implied')
      for (const object of denied) assert.ok(implied.includes(object), implied.join())
      if (renames !== undefined && opaque === undefined)
        assert.deepEqual(understood.touches.map(({ action }) => action).sort(), ['http:delete', 'http:read'])
    })

  const deletion = ({ body, encoding }: Omit<Deletion, 'name'>): HttpRequest => ({
    ...anyRequest,
    method: 'POST',
    path: { text: '/data', segments: ['data'], otherReadings: [] },
    query: 'delete',
    parameters: [{ name: 'delete', value: '' }],
    headers: encoding === undefined ? [] : [['content-encoding', encoding]],
    ...(body !== undefined && { body: Buffer.from(body) }),
  })

  for (const { deletes = [], opaque, ...example } of deletions)
    it(`is read where it deletes ${example.name}`, () => {
      const understood = s3().understand(deletion(example))
      assertOpaque(understood, opaque)
      if (opaque === undefined) assert.deepEqual(objectsOf(understood, 'direct'), [...deletes].sort())
      assert.ok(understood.touches.every(({ action }) => action === 'http:delete'))
    })

  it('is read in the body by S3 alone, and has to be there whole', () => {
    const request = deletion({})
    assert.ok((s3().needs(request) ?? 0) > 0)
    assert.equal(new AwsAnalysis({ service: 'sqs', host: 's3.example' }).needs(request), undefined)
  })
})

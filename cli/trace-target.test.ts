import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseTraces } from './trace-target.ts'

describe('--traces', () => {
  it('is where an OpenTelemetry collector takes spans', () => {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-cli-'))
    writeFileSync(join(directory, 'headers'), 'authorization: Bearer abc\n')
    writeFileSync(join(directory, 'ca.pem'), 'a certificate')
    assert.equal(parseTraces(undefined), undefined)
    assert.deepEqual(parseTraces('otlp+http://localhost:4318'), {
      url: 'http://localhost:4318/v1/traces',
      headers: {},
      ca: undefined,
      share: 1,
    })
    assert.deepEqual(
      parseTraces(
        `otlp+https://c.example/otlp/traces,headers-file=${directory}/headers,ca-file=${directory}/ca.pem,share=0.05`,
      ),
      {
        url: 'https://c.example/otlp/traces',
        headers: { authorization: 'Bearer abc' },
        ca: 'a certificate',
        share: 0.05,
      },
    )
    rmSync(directory, { recursive: true })
  })
})

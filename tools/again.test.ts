import assert from 'node:assert/strict'
import { again, couldNotFetchModule } from './again.ts'

describe('what may fail once', () => {
  let tries = 0
  const thirdTime = async (): Promise<string> => {
    if (++tries < 3) throw new Error(`failed ${tries}`)
    return 'there'
  }
  beforeEach(() => {
    tries = 0
  })

  it('is tried again, and fails in the end as it failed last', async () => {
    assert.equal(await again(thirdTime, undefined, [1, 1]), 'there')
    tries = 0
    await assert.rejects(again(thirdTime, undefined, [1]), /failed 2/)
  })

  it('is not tried again where that is of no use', async () => {
    await assert.rejects(
      again(thirdTime, () => false, [1, 1]),
      /failed 1/,
    )
    assert.equal(tries, 1)
  })

  it('is a module, and not what does not compile', () => {
    const said = (stderr: string): Error => Object.assign(new Error('Command failed'), { stderr })
    const fetched = 'go: downloading k8s.io/api v0.34.4\n'
    const from = 'https://proxy.golang.org/k8s.io/api/@v/v0.34.4.zip'
    assert.ok(couldNotFetchModule(said(`${fetched}main.go:3:2: reading ${from}: 502 Bad Gateway\n`)))
    assert.ok(
      couldNotFetchModule(new Error(`It does not compile:\ngo: Get "${from}": dial tcp: i/o timeout`)),
    )
    assert.ok(!couldNotFetchModule(said(`${fetched}./main.go:8:2: undefined: x\n`)))
  })
})

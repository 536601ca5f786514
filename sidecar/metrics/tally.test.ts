import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Registry } from 'prom-client'
import { Count, Distribution, Tally } from './tally.ts'

describe('Tally', () => {
  it('shows a count for each set of labels', async () => {
    const registry = new Registry()
    const tally = new Tally(
      registry,
      { name: 'x_total', help: 'What.', labels: ['a', 'b'] },
      () => new Count(),
    )
    tally.of('1', '"2"\n').value += 3
    tally.of('1', '"2"\n').value++
    tally.of('', '').value++
    assert.equal(
      await registry.metrics(),
      '# HELP x_total What.\n# TYPE x_total counter\nx_total{a="1",b="\\"2\\"\\n"} 4\nx_total{a="",b=""} 1\n',
    )
  })

  it('adds up what is in each bucket, with every value in all that are large enough', async () => {
    const bounds = [1, 5, 20]
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 30 })), async (values) => {
        const registry = new Registry()
        const tally = new Tally(
          registry,
          { name: 'x', help: 'h', labels: [] },
          () => new Distribution(bounds),
        )
        for (const value of values) tally.of().observe(value)
        const expected =
          values.length === 0
            ? ''
            : [
                ...bounds.map((le) => `x_bucket{le="${le}"} ${values.filter((value) => value <= le).length}`),
                `x_bucket{le="+Inf"} ${values.length}`,
                `x_sum ${values.reduce((sum, value) => sum + value, 0)}`,
                `x_count ${values.length}`,
              ].join('\n')
        const text = (await registry.metrics()).split('\n').slice(2).join('\n').trim()
        assert.equal(text, expected)
      }),
    )
  })
})

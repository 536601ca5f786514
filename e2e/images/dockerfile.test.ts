import assert from 'node:assert/strict'
import { canHaveNodes } from '../cluster/cluster.ts'
import { ImageBuilder } from './builder.ts'

// it takes what a cluster's nodes take: Linux and root
if (canHaveNodes())
  describe('the Dockerfile', function () {
    this.timeout('30m')
    let builder: ImageBuilder

    before(async () => {
      builder = await ImageBuilder.start()
    })
    after(() => builder?.[Symbol.asyncDispose]())

    for (const target of ['operator', 'enforcer']) {
      describe(`its ${target}`, () => {
        before(() => builder.build(target))

        it('runs the program as nobody in particular', async () => {
          const { User, Entrypoint, Cmd } = await builder.settingsOf(target)
          assert.deepEqual([User, Entrypoint], ['65532:65532', ['firebreak']])
          assert.deepEqual(Cmd, [target === 'operator' ? 'operator' : 'sidecar'])
          assert.match(await builder.inImage(target, ['id']), /^uid=65532 gid=65532/)
        })

        it('has a program that works', async () => {
          assert.match(await builder.inImage(target, ['firebreak', '--version']), /^\d+\.\d+\.\d+$/m)
          for (const command of ['operator', 'sidecar', 'contain'])
            assert.match(await builder.inImage(target, ['firebreak', command, '--help']), /Usage|usage/)
        })

        it(target === 'enforcer' ? 'has nft' : 'has no nft', async () => {
          const found = builder.inImage(target, ['find', '/usr/sbin/nft'])
          if (target === 'enforcer') assert.equal(await found, '/usr/sbin/nft\n')
          else await assert.rejects(found, /No such file/)
        })

        it('has neither npm nor the source, and nothing that its user may change', async () => {
          const script =
            'ls -d /source /usr/local/bin/npm /usr/local/lib/node_modules 2>/dev/null; find /opt /usr -writable ! -type l'
          assert.equal(await builder.inImage(target, ['sh', '-c', `${script}; true`]), '')
        })
      })
    }
  })

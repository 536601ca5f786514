import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import pg from 'pg'
import { startPostgres } from './postgres.ts'

async function version({ host, port, user, password }: Parameters<typeof connect>[0]): Promise<string> {
  const client = await connect({ host, port, user, password })
  const { rows } = await client.query('SHOW server_version')
  await client.end()
  return rows[0].server_version as string
}

async function connect(to: {
  host: string
  port: number
  user: string
  password: string
}): Promise<pg.Client> {
  const client = new pg.Client({ ...to, database: 'postgres' })
  await client.connect()
  return client
}

describe('startPostgres', function () {
  this.timeout(180_000)

  it('runs real servers side by side, with the settings asked for, and leaves nothing behind', async () => {
    let directory: string
    {
      await using one = await startPostgres({ settings: { work_mem: '7MB' } })
      await using other = await startPostgres()
      assert.notEqual(one.port, other.port)
      directory = one.dataDirectory
      const client = await connect(one)
      assert.equal((await client.query('SHOW work_mem')).rows[0].work_mem, '7MB')
      await client.end()
      assert.match(await version(other), /^[0-9]+/)
    }
    assert.ok(!existsSync(directory))
  })

  it('says what the server said when it does not start', async () => {
    await assert.rejects(
      startPostgres({ settings: { shared_buffers: 'plenty' } }),
      /did not start:[\s\S]*shared_buffers/,
    )
  })

  it('says which file is missing when there are no binaries', async () => {
    await assert.rejects(startPostgres({ binaries: '/nowhere/bin' }), /\/nowhere\/bin\/postgres ENOENT/)
  })
})

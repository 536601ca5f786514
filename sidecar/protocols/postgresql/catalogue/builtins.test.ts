import assert from 'node:assert/strict'
import { Shop } from '../../../../test/shop.ts'
import { builtinEffect, isRefusedBuiltin, systemRelation } from './builtins.ts'
import { CatalogueCache } from './cache.ts'

describe('builtin functions', function () {
  this.timeout(120_000)
  let shop: Shop
  let cache: CatalogueCache

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    const { host, port, user, password } = shop.postgres
    cache = new CatalogueCache(
      { host, port, tls: { mode: 'disable' } },
      async () => ({ ok: true, value: { username: user, password } }),
      'shop',
    )
    const acquired = await cache.acquire(AbortSignal.timeout(60_000))
    assert.ok(acquired.ok)
  })

  after(async () => {
    cache.release()
    await shop[Symbol.asyncDispose]()
  })

  it('are all known, but for those that SQL can not call', async () => {
    // pseudo-types that no expression has, event triggers, triggers, and what only pg_upgrade may call
    const callable = await shop.admin(
      'shop',
      `SELECT p.oid::int8 AS oid FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile <> 'i'
       AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype, 'index_am_handler'::regtype, 'table_am_handler'::regtype, 'fdw_handler'::regtype, 'tsm_handler'::regtype, 'cstring'::regtype)
       AND NOT p.proargtypes::oid[] && ARRAY['internal'::regtype, 'cstring'::regtype]::oid[]
       AND p.proname !~ '^(binary_upgrade_|plpgsql_|fmgr_|dsnowball_)' AND p.proname !~ '(send|recv|validator|_out|_transfn|_finalfn|sel)$' ORDER BY p.proname`,
    )
    const unknown = (callable.rows as { oid: string }[]).flatMap(({ oid }) => {
      const info = cache.current?.functionByOid(Number(oid))
      return info && builtinEffect(info) === undefined && !isRefusedBuiltin(info.name) ? [info.name] : []
    })
    assert.deepEqual([...new Set(unknown)], [])
  })

  it('that run text, read files or change settings are not taken to compute', () => {
    for (const name of [
      'query_to_xml',
      'set_config',
      'pg_read_file',
      'lo_export',
      'pg_terminate_backend',
      'nextval',
      'pg_notify',
      'pg_sleep',
      'ts_stat',
      'pg_logical_emit_message',
    ]) {
      for (const info of cache.current?.functions('pg_catalog', name) ?? assert.fail(name))
        assert.notEqual(builtinEffect(info), 'computes', name)
    }
  })

  it('finds what somebody else changes within seconds', async () => {
    assert.equal(cache.current?.relation('public', 'later'), undefined)
    await shop.admin('shop', 'CREATE VIEW later AS SELECT ssn AS x FROM customers')
    await cache.refresh()
    assert.match(cache.current?.relation('public', 'later')?.definition ?? '', /public\.customers/)
    const before = cache.current?.version
    await shop.admin('shop', 'CREATE OR REPLACE VIEW later AS SELECT name AS x FROM customers')
    await cache.refresh()
    assert.notEqual(cache.current?.version, before)
  })

  it('keeps statistics and credentials apart from what drivers read', () => {
    assert.equal(systemRelation('pg_catalog', 'pg_class'), 'baseline')
    assert.equal(systemRelation('pg_catalog', 'pg_stats'), 'statistics')
    assert.equal(systemRelation('pg_catalog', 'pg_authid'), 'sensitive')
    assert.equal(systemRelation('pg_catalog', 'pg_something_new'), 'sensitive')
    assert.equal(systemRelation('information_schema', 'columns'), 'baseline')
  })
})

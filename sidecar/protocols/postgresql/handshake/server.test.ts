import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type Postgres, startPostgres } from '../../../../tools/postgres.ts'
import type { Credential, TargetTls } from '../../../session.ts'
import { connectServer } from './server.ts'

/** A certificate authority with a server's and a client's certificate. */
function certificates(): Record<'ca' | 'server' | 'serverKey' | 'client' | 'clientKey' | 'otherCa', string> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-certificates-'))
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'ignore'] })
  const authority = (name: string): void =>
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
    )
  const signed = (name: string, subject: string, extension: string): void => {
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      subject,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    )
    writeFileSync(join(directory, `${name}.ext`), extension)
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.crt`,
    )
  }
  try {
    authority('ca')
    authority('other')
    signed('server', '/CN=localhost', 'subjectAltName=DNS:localhost')
    signed('client', '/CN=with_certificate', 'extendedKeyUsage=clientAuth')
    const read = (name: string): string => readFileSync(join(directory, name), 'utf8')
    return {
      ca: read('ca.crt'),
      server: read('server.crt'),
      serverKey: read('server.key'),
      client: read('client.crt'),
      clientKey: read('client.key'),
      otherCa: read('other.crt'),
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

describe('connecting to PostgreSQL', function () {
  this.timeout(120_000)
  const made = certificates()
  let postgres: Postgres

  before(async () => {
    postgres = await startPostgres({
      tls: { certificate: made.server, key: made.serverKey, ca: made.ca },
      hba: [
        'hostssl all with_certificate 127.0.0.1/32 cert',
        'host all with_md5 127.0.0.1/32 md5',
        'host all in_clear 127.0.0.1/32 password',
        'host all trusted 127.0.0.1/32 trust',
        'host all refused 127.0.0.1/32 reject',
      ],
    })
    const admin = new pg.Client({
      host: postgres.host,
      port: postgres.port,
      user: 'postgres',
      password: postgres.password,
      database: 'postgres',
    })
    await admin.connect()
    await admin.query(
      "CREATE ROLE with_scram LOGIN PASSWORD 'pass wörd'; CREATE ROLE in_clear LOGIN PASSWORD 'open-secret'; CREATE ROLE trusted LOGIN; CREATE ROLE refused LOGIN; CREATE ROLE with_certificate LOGIN",
    )
    await admin.query("SET password_encryption = 'md5'; CREATE ROLE with_md5 LOGIN PASSWORD 'old'")
    await admin.end()
  })

  after(async () => {
    await postgres[Symbol.asyncDispose]()
  })

  async function attempt(
    credential: Credential,
    tls: TargetTls,
    host = '127.0.0.1',
    port = postgres.port,
    patience = 30_000,
  ): Promise<string> {
    const connected = await connectServer(
      { host, port, tls },
      credential,
      new Map([['database', 'postgres']]),
      AbortSignal.timeout(patience),
    )
    if (!connected.ok) {
      assert.ok(
        credential.password === undefined || !JSON.stringify(connected.error).includes(credential.password),
        'the error holds the password',
      )
      return `${connected.error.code} ${connected.error.message}`
    }
    connected.value.socket.destroy()
    return 'connected'
  }

  const full = (ca: string): TargetTls => ({ mode: 'verify-full', ca, serverName: 'localhost' })
  const scram = { username: 'with_scram', password: 'pass wörd' }
  const table: readonly [name: string, credential: Credential, tls: () => TargetTls, result: RegExp][] = [
    ['SCRAM-SHA-256', scram, () => ({ mode: 'disable' }), /^connected/],
    ['SCRAM-SHA-256-PLUS over TLS', scram, () => full(made.ca), /^connected/],
    [
      'a wrong password',
      { ...scram, password: 'wrong-secret' },
      () => ({ mode: 'disable' }),
      /^28P01 .*did not accept the role's credential/,
    ],
    ['a missing password', { username: 'with_scram' }, () => ({ mode: 'disable' }), /^28000 /],
    ['md5', { username: 'with_md5', password: 'old' }, () => ({ mode: 'disable' }), /^connected/],
    [
      'clear text over TLS',
      { username: 'in_clear', password: 'open-secret' },
      () => full(made.ca),
      /^connected/,
    ],
    [
      'clear text without TLS',
      { username: 'in_clear', password: 'open-secret' },
      () => ({ mode: 'disable' }),
      /^08001 .*clear text on an unencrypted connection/,
    ],
    [
      'a client certificate',
      { username: 'with_certificate', clientCertificate: { certificate: made.client, key: made.clientKey } },
      () => full(made.ca),
      /^connected/,
    ],
    ['no client certificate', { username: 'with_certificate' }, () => full(made.ca), /^28000 /],
    ['a server that trusts', { username: 'trusted' }, () => ({ mode: 'disable' }), /^connected/],
    [
      'a server that rejects',
      { username: 'refused', password: 'x-secret' },
      () => ({ mode: 'disable' }),
      /^28000 /,
    ],
    ['require without a CA', scram, () => ({ mode: 'require' }), /^connected/],
    [
      'verify-ca under another name',
      scram,
      () => ({ mode: 'verify-ca', ca: made.ca, serverName: 'elsewhere' }),
      /^connected/,
    ],
    [
      'verify-full under another name',
      scram,
      () => ({ mode: 'verify-full', ca: made.ca, serverName: 'elsewhere' }),
      /^08001 .*can't be reached/,
    ],
    ['a CA that signed nothing', scram, () => full(made.otherCa), /^08001 .*can't be reached/],
  ]
  for (const [name, credential, tls, result] of table)
    it(name, async () => assert.match(await attempt(credential, tls()), result))

  it('a port where nobody listens', async () =>
    assert.match(await attempt(scram, { mode: 'disable' }, '127.0.0.1', 1), /^08001 .*ECONNREFUSED/))

  for (const [name, behave] of [
    ['says nothing', (): void => {}],
    ['hangs up', (socket: import('node:net').Socket): void => void socket.destroy()],
    [
      'speaks something else',
      (socket: import('node:net').Socket): void => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ],
    [
      'asks for the password in clear',
      (socket: import('node:net').Socket): void =>
        void socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3])),
    ],
    [
      'skips its own proof',
      (socket: import('node:net').Socket): void =>
        void socket.write(
          Buffer.concat([
            Buffer.from([0x52, 0, 0, 0, 23, 0, 0, 0, 10]),
            Buffer.from('SCRAM-SHA-256\0\0'),
            Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]),
          ]),
        ),
    ],
  ] as const) {
    it(`a server that ${name}`, async () => {
      const rogue = createServer((socket) => {
        socket.on('error', () => {})
        behave(socket)
      })
      await new Promise<void>((resolve) => rogue.listen(0, '127.0.0.1', resolve))
      const { port } = rogue.address() as { port: number }
      try {
        assert.match(await attempt(scram, { mode: 'disable' }, '127.0.0.1', port, 3_000), /^08001 /)
      } finally {
        rogue.close()
      }
    })
  }
})

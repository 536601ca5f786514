/** Does with Node's fetch what the tests of HTTP compare, against the base URL that it is given. */
const [base = ''] = process.argv.slice(2)
const headers = { 'content-type': 'application/json' }
const answers = [
  await ask('/users?sort=name&q=a%20b'),
  await ask('/users', { method: 'POST', headers, body: '{"name":"Ada"}' }),
  await ask('/users/a%2Fb', { method: 'PUT', headers, body: 'x'.repeat(200_000) }),
  await ask('/redirect'),
  await ask('/compressed'),
  await ask('/missing'),
  await ask('/users/1', { method: 'DELETE' }),
]
console.log(JSON.stringify(answers))

async function ask(path: string, options: RequestInit = {}): Promise<object> {
  const response = await fetch(`${base}${path}`, options)
  const type = response.headers.get('content-type') ?? ''
  return { status: response.status, type, body: await response.text() }
}

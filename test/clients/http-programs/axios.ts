/** Does with axios what the tests of HTTP compare, against the base URL that it is given. */
import axios, { type AxiosRequestConfig } from 'axios'

const [baseURL = ''] = process.argv.slice(2)
const client = axios.create({ baseURL, responseType: 'text', validateStatus: () => true })
const headers = { 'content-type': 'application/json' }
const answers = [
  await ask({ url: '/users?sort=name', params: { q: 'a b' } }),
  await ask({ url: '/users', method: 'POST', data: { name: 'Ada' } }),
  await ask({ url: '/users/a%2Fb', method: 'PUT', headers, data: Buffer.alloc(200_000) }),
  await ask({ url: '/redirect' }),
  await ask({ url: '/compressed' }),
  await ask({ url: '/missing' }),
  await ask({ url: '/users/1', method: 'DELETE' }),
]
console.log(JSON.stringify(answers))

async function ask(options: AxiosRequestConfig): Promise<object> {
  const { status, headers, data } = await client.request<string>(options)
  return { status, type: String(headers['content-type'] ?? ''), body: data }
}

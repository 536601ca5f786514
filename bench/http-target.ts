/** A server that costs next to nothing: answers each request without a body with one fixed document. Prints its port. */
import { createServer } from 'node:net'

const [size = '100'] = process.argv.slice(2)
const user = (id: number): object => ({
  id,
  name: `person ${id}`,
  email: `person${id}@shop.example`,
  note: 'x'.repeat(30),
})
const users: object[] = []
while (JSON.stringify(users).length < Number(size)) users.push(user(users.length))
const body = JSON.stringify({ users })
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
)
const end = Buffer.from('\r\n\r\n')

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let at = rest.indexOf(end); at >= 0; at = rest.indexOf(end)) {
      rest = rest.subarray(at + end.length)
      socket.write(answer)
    }
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address && typeof address !== 'string') console.log(address.port)
})

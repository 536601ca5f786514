/** Uses a server of MCP by its SDK: `mcp-client.ts URL`. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const [url = ''] = process.argv.slice(2)
const client = new Client({ name: 'agent', version: '1.0.0' })
const transport = new StreamableHTTPClientTransport(new URL(url))
// its optional members are declared in another way than those of the interface
await client.connect(transport as Parameters<Client['connect']>[0])
const { tools, nextCursor } = await client.listTools()
const { tools: others } = await client.listTools({ cursor: nextCursor })
const read = await client.callTool({ name: 'read_customer' })
const deleted = await client.callTool({ name: 'delete_customer' })
await client.close()
console.log(JSON.stringify({ tools: [...tools, ...others].map(({ name }) => name), read, deleted }))

/** What messages of MCP do: the actions that policies are written in. A server may have messages of its own beside these. */
export const mcpActions: readonly string[] = [
  // one for each tool, by its name
  'mcp:tools/call.*',
  'mcp:tools/list',
  'mcp:prompts/get',
  'mcp:prompts/list',
  'mcp:resources/read',
  'mcp:resources/list',
  'mcp:resources/templates/list',
  'mcp:resources/subscribe',
  'mcp:resources/unsubscribe',
  'mcp:completion/complete',
  'mcp:logging/setLevel',
  'mcp:tasks/get',
  'mcp:tasks/list',
  'mcp:tasks/result',
  'mcp:tasks/cancel',
  'mcp:initialize',
  'mcp:ping',
  'mcp:notifications/*',
  // not messages, but what is done with the session: a stream is opened, it is ended, the server is answered
  'mcp:listen',
  'mcp:end',
  'mcp:answer',
]

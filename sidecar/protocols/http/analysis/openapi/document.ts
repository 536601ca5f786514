/** An OpenAPI document, as far as it says what requests do and what their answers hold. */
import { parse } from 'yaml'
import type { Result } from '../../../../session.ts'
import { type ClassifiedField, classifiedFields } from './classified.ts'
import { isObject, type Json, objectAt } from './nodes.ts'
import { compileTemplate, type Template } from './template.ts'

export interface OpenApiOperation {
  /** In upper case. */
  readonly method: string
  /** Its `operationId`, or where it has none `GET /users/{id}`. */
  readonly name: string
  readonly template: Template
}

export interface OpenApiDocument {
  readonly operations: readonly OpenApiOperation[]
  /** Of these no rule can speak by their names. */
  readonly unnamed: readonly string[]
  /** What answers hold, by the `x-firebreak-tags` of schemas. */
  readonly classification: readonly ClassifiedField[]
}

const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const
const ofPaths: ReadonlySet<string> = new Set([...methods, 'summary', 'description', 'parameters'])
const maximumOperations = 10_000

/** @param text JSON or YAML, of OpenAPI 3.0 or 3.1. @returns why it can't be gone by, in words. */
export function readOpenApi(text: string): Result<OpenApiDocument, string> {
  const parsed = parseDocument(text)
  if (!parsed.ok) return parsed
  const root = parsed.value
  if (typeof root.openapi !== 'string' || !/^3\.[01]\./.test(root.openapi))
    return problem('the document is not of OpenAPI 3.0 or 3.1')
  const bases = basesOf(root.servers)
  if (!bases) return problem('a server of the OpenAPI document has variables in its path')
  const operations: OpenApiOperation[] = []
  /** By name, where it stands. */
  const places = new Map<string, string>()
  const operationNodes: Json[] = []
  for (const [path, item] of Object.entries(objectAt(root, 'paths'))) {
    if (path.startsWith('x-') || item === null) continue
    if (!path.startsWith('/') || !isObject(item))
      return problem(`the path ${path} of the OpenAPI document is none`)
    if ('$ref' in item) return problem(`the path ${path} of the OpenAPI document is elsewhere`)
    if ('servers' in item) return problem(`the path ${path} of the OpenAPI document has servers of its own`)
    const strange = Object.keys(item).find((key) => !key.startsWith('x-') && !ofPaths.has(key))
    if (strange !== undefined)
      return problem(`the path ${path} of the OpenAPI document has ${strange}, which is no method of OpenAPI`)
    for (const method of methods) {
      const operation = item[method]
      if (operation === undefined) continue
      if (!isObject(operation))
        return problem(`the path ${path} of the OpenAPI document says nothing of ${method}`)
      if ('servers' in operation)
        return problem(`the path ${path} of the OpenAPI document has servers of its own`)
      operationNodes.push(operation)
      const place = `${method.toUpperCase()} ${path}`
      const name = typeof operation.operationId === 'string' ? operation.operationId : place
      const other = places.get(name)
      if (other !== undefined)
        return problem(`two operations of the OpenAPI document are called ${name}: ${other} and ${place}`)
      places.set(name, place)
      for (const base of bases) {
        const template = compileTemplate(base + path)
        if (!template.ok) return template
        operations.push({ method: method.toUpperCase(), name, template: template.value })
      }
    }
  }
  if (operations.length > maximumOperations) return problem('the OpenAPI document has too many operations')
  const unnamed = [...places].flatMap(([name, place]) => (canBeNamed(name) ? [] : [place]))
  const classification = classifiedFields(root, operationNodes)
  return classification.ok
    ? { ok: true, value: { operations, unnamed, classification: classification.value } }
    : classification
}

function problem(error: string): Result<never, string> {
  return { ok: false, error }
}

function parseDocument(text: string): Result<Json, string> {
  try {
    const value: unknown = parse(text, { maxAliasCount: 100, merge: true })
    return isObject(value)
      ? { ok: true, value }
      : problem('the OpenAPI document can’t be read: it is no object')
  } catch (error) {
    const [reason = ''] = error instanceof Error ? error.message.split(':\n') : []
    return problem(`the OpenAPI document can’t be read: ${reason}`)
  }
}

/** As actions are written in rules, without wildcards. */
function canBeNamed(name: string): boolean {
  return /^[A-Za-z0-9._/-]{1,120}$/.test(name)
}

/** The paths that all others begin with. @returns undefined where one isn't known. */
function basesOf(servers: unknown): readonly string[] | undefined {
  if (!Array.isArray(servers) || servers.length === 0) return ['']
  const bases = new Set<string>()
  for (const server of servers as unknown[]) {
    const url = isObject(server) && typeof server.url === 'string' ? server.url : ''
    // where the server is, its address says
    const path = url.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\/+$/, '')
    if (/[{}?#]/.test(path)) return undefined
    bases.add(path === '' || path.startsWith('/') ? path : `/${path}`)
  }
  return [...bases]
}

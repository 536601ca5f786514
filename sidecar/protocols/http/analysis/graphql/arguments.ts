/** Which fields the arguments of a query may be about: what is filtered or sorted by tells of values that nobody shows. */
import { type FieldNode, Kind, type ValueNode } from 'graphql'
import type { JsonValue } from '../../bodies/json/parse.ts'
import type { GraphqlOperation } from './request.ts'

export function namesInArguments(
  nodes: readonly FieldNode[],
  operation: GraphqlOperation,
): ReadonlySet<string> {
  const names = new Set<string>()
  const add = (written: string): void => {
    for (const name of fieldNames(written)) names.add(name)
  }
  for (const argument of nodes.flatMap((node) => node.arguments ?? [])) {
    add(argument.name.value)
    addValue(argument.value, operation, add)
  }
  return names
}

function addValue(value: ValueNode, operation: GraphqlOperation, add: (written: string) => void): void {
  switch (value.kind) {
    case Kind.ENUM:
    case Kind.STRING:
      return add(value.value)
    case Kind.LIST:
      for (const item of value.values) addValue(item, operation, add)
      return
    case Kind.OBJECT:
      for (const field of value.fields) {
        add(field.name.value)
        addValue(field.value, operation, add)
      }
      return
    case Kind.VARIABLE:
      return addVariable(value.name.value, operation, add)
    default:
      return
  }
}

function addVariable(name: string, operation: GraphqlOperation, add: (written: string) => void): void {
  const { variables } = operation
  const given = variables instanceof Map ? variables.get(name) : undefined
  if (given !== undefined) return addJson(given, add)
  const definition = operation.operation.variableDefinitions?.find(
    ({ variable }) => variable.name.value === name,
  )
  if (definition?.defaultValue) addValue(definition.defaultValue, operation, add)
}

function addJson(value: JsonValue, add: (written: string) => void): void {
  if (typeof value === 'string') add(value)
  else if (value instanceof Map)
    for (const [name, inner] of value) {
      add(name)
      addJson(inner, add)
    }
  else if (Array.isArray(value)) for (const inner of value as readonly JsonValue[]) addJson(inner, add)
}

/** A name, and what it may begin with: `email_contains`, `emailContains` and `EMAIL_ASC` are about `email`. */
function fieldNames(written: string): readonly string[] {
  const names: string[] = []
  for (const word of written.split(/[^A-Za-z0-9_]+/)) {
    if (!/^[A-Za-z_]/.test(word) || word.length > 128) continue
    for (const end of word.matchAll(/(?=_)|(?<=[a-z0-9])(?=[A-Z])|$/g)) {
      const beginning = word.slice(0, end.index)
      if (beginning !== '') names.push(beginning, beginning.toLowerCase())
    }
  }
  return names
}

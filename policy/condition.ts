/** The CEL expression of a rule. */
import { type ASTNode, Environment } from '@marcbachmann/cel-js'
import type { Command } from './command.ts'
import type { Principal, Subject } from './decision.ts'
import { joinName } from './names.ts'

export interface ConditionInput {
  readonly command: Command
  readonly principal: Principal
  readonly subject: Subject
}

/**
 * @returns the expression's truth, or `onError` when it can't be evaluated (a fact the command doesn't carry, for one) or
 * asks for what is unsettled; the opposite for an incomplete command.
 */
export type Condition = (input: ConditionInput, onError: boolean) => boolean

const environment = new Environment({
  unlistedVariablesAreDyn: false,
  limits: {
    maxAstNodes: 1_000,
    maxDepth: 50,
    maxListElements: 200,
    maxMapEntries: 200,
    maxCallArguments: 16,
  },
})
  .registerVariable('command', 'map')
  .registerVariable('identity', 'map')
  .registerVariable('resource', 'string')
  .registerVariable('role', 'string')

/** @throws Error with a message for the policy's author when the expression is not valid. */
export function compileCondition(expression: string): Condition {
  const evaluate = environment.parse(expression)
  const checked = evaluate.check()
  if (!checked.valid) throw new Error(checked.error?.message ?? 'the condition is not valid')
  if (checked.type !== undefined && checked.type !== 'bool' && checked.type !== 'dyn')
    throw new Error(`expected a condition that is true or false, found one of type ${checked.type}`)
  const asked = lookupsIn(evaluate.ast).filter(([first]) => first === 'command')
  return ({ command, principal, subject }, onError) => {
    if (command.unsettled?.some((name) => asksFor(asked, name))) return onError
    const [namespace, name] = principal.identity.split('/')
    const unknown = command.incomplete ? !onError : onError
    try {
      const value: unknown = evaluate({
        command: {
          actions: command.touches.flatMap(({ action, also = [] }) => [action, ...also]),
          objects: command.touches.map((touch) => joinName(touch.object.kind, touch.object.path)),
          ...factsForCel(command.facts),
        },
        identity: { namespace, name, groups: [...principal.groups] },
        resource: subject.resource.split('/')[1],
        role: subject.role,
      })
      return typeof value === 'boolean' ? value : unknown
    } catch {
      return unknown
    }
  }
}

/**
 * What a condition looks up, each from the outside in: `['command', 'sql', 'kind']`. A key that is computed ends a path.
 *
 * @throws Error when the expression is not valid.
 */
export function lookupsOf(expression: string): readonly (readonly string[])[] {
  return lookupsIn(environment.parse(expression).ast)
}

function lookupsIn(ast: ASTNode): readonly (readonly string[])[] {
  const lookups: (readonly string[])[] = []
  collectLookups(ast, lookups)
  return lookups
}

/** @param asked lookups of a command; one that ends early may be of anything below. */
function asksFor(asked: readonly (readonly string[])[], name: string): boolean {
  const names = name.split('.')
  return asked.some(([, ...path]) =>
    path.every((part, index) => index >= names.length || part === names[index]),
  )
}

function collectLookups(value: unknown, lookups: (readonly string[])[]): void {
  if (Array.isArray(value)) for (const inner of value) collectLookups(inner, lookups)
  else if (isNode(value)) {
    const lookup = lookupOf(value)
    if (lookup) lookups.push(lookup)
    else collectLookups(value.args, lookups)
  }
}

function lookupOf(node: ASTNode): readonly string[] | undefined {
  if (node.op === 'id') return [node.args]
  if (node.op !== '.' && node.op !== '.?' && node.op !== '[]' && node.op !== '[?]') return undefined
  const [object, name] = node.args
  const key = typeof name === 'string' ? name : name.op === 'value' ? name.args : undefined
  const outer = lookupOf(object)
  return outer && typeof key === 'string' ? [...outer, key] : undefined
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value
}

/** CEL tells whole numbers from others, so a count has to be an integer to be compared with one. */
function factsForCel(facts: Command['facts']): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(facts).map(([namespace, values]) => [
      namespace,
      Object.fromEntries(
        Object.entries(values).map(([name, value]) => [
          name,
          Number.isInteger(value) ? BigInt(value as number) : value,
        ]),
      ),
    ]),
  )
}

/** Holds a manifest against its CRD: the structural schema, and the CEL rules that the API server would run. */
import { evaluate } from '@marcbachmann/cel-js'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import schemas from './generated/schemas.json' with { type: 'json' }
import { closest } from './near-match.ts'
import { fieldPath } from './problem.ts'
import type { Definition, Schema } from './schema.ts'

/** Of a request: the same form as in a CRD. */
export type RequestSchema = Schema

export interface Finding {
  readonly path: readonly (string | number)[]
  /** The field's name is what is wrong, not its value. */
  readonly onKey: boolean
  readonly message: string
}

const definitions = Object.values(schemas as unknown as Record<string, Definition>)

/** Our kinds, with the API version each has. */
export const knownKinds: ReadonlyMap<string, string> = new Map(definitions.map((d) => [d.kind, d.apiVersion]))

/** Formats and Kubernetes' own keywords are annotations here; regular expressions stay plain (no `v` flag). */
const ajv = new Ajv({
  allErrors: true,
  useDefaults: true,
  strict: false,
  verbose: true,
  validateFormats: false,
  // our own schemas are known to be some; a validator of schemas takes more memory than all of theirs
  meta: false,
  validateSchema: false,
  // a third of the time that making them takes, which every new sidecar waits for; few manifests are ever checked
  code: { optimize: false },
})
/** By kind, made when they are needed first. */
const validators = new Map<string, ValidateFunction>()

/** Validates in place: defaults are filled in. */
export function validate(kind: string, manifest: unknown): Finding[] {
  const definition = definitions.find((candidate) => candidate.kind === kind)
  if (!definition) throw new Error(`No schema for kind ${kind}`)
  const validator = validators.get(kind) ?? ajv.compile(closed(definition.schema, true))
  validators.set(kind, validator)
  if (!validator(manifest)) {
    return (validator.errors ?? []).filter((error) => error.keyword !== 'if').map(finding)
  }
  return runRules(definition.schema, manifest, [])
}

/** Makes a check of values that are no manifests, in the same words. Defaults are filled in, in place. */
export function schemaCheck(schema: RequestSchema): (value: unknown) => readonly Finding[] {
  const validator = ajv.compile(closed(schema))
  return (value) => (validator(value) ? runRules(schema, value, []) : (validator.errors ?? []).map(finding))
}

/** The same for requests. @returns what is wrong, by field; empty when nothing is. */
export function requestCheck(schema: RequestSchema): (value: unknown) => readonly string[] {
  const check = schemaCheck(schema)
  return (value) =>
    check(value).map(({ path, message }) => (path.length === 0 ? message : `${fieldPath(path)}: ${message}`))
}

/** The API server prunes fields it does not know; we refuse them, since in a guardrail a typo is a hole. */
function closed(schema: Schema, root = false): object {
  const { properties, items, additionalProperties, ...rest } = schema
  return {
    ...rest,
    ...(items && { items: closed(items) }),
    ...(items && schema['x-kubernetes-list-type'] === 'set' && { uniqueItems: true }),
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, property]) => [
          name,
          root && name === 'metadata' ? {} : closed(property),
        ]),
      ),
    }),
    ...(additionalProperties
      ? { additionalProperties: closed(additionalProperties) }
      : properties && { additionalProperties: false }),
  }
}

function finding(error: ErrorObject): Finding {
  const path = pathOf(error.instancePath)
  const found = error.data
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(error.params.additionalProperty)
      const known = Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? {})
      const near = closest(name, known)
      const help = near ? `did you mean ${near}?` : `known are ${known.join(', ')}`
      return { path: [...path, name], onKey: true, message: `unknown field ${name}; ${help}` }
    }
    case 'required':
      return { path, onKey: false, message: `missing field ${String(error.params.missingProperty)}` }
    case 'enum': {
      const allowed = (error.params.allowedValues as string[]).map(String)
      const near = closest(String(found), allowed)
      return {
        path,
        onKey: false,
        message: `expected one of ${allowed.join(', ')}, found ${show(found)}${near ? `; did you mean ${near}?` : ''}`,
      }
    }
    case 'type':
      return {
        path,
        onKey: false,
        message: `expected ${article(String(error.params.type))}, found ${show(found)}`,
      }
    case 'pattern':
      return {
        path,
        onKey: false,
        message: `expected ${patternInWords(String(error.params.pattern), error.parentSchema)}, found ${show(found)}`,
      }
    default:
      return { path, onKey: false, message: `${error.message ?? error.keyword}, found ${show(found)}` }
  }
}

function pathOf(pointer: string): (string | number)[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
}

function patternInWords(pattern: string, schema: object | undefined): string {
  if (pattern.includes('ms|s|m|h|d')) return 'a duration such as 90s, 15m or 1h30m'
  if (pattern.includes('6553[0-5])$')) return 'host:port'
  if (pattern.includes('[a-z0-9]+:')) return 'an action such as sql:select, or sql:*'
  const description = (schema as { description?: string } | undefined)?.description
  return `${description ? `${description.replace(/\.$/, '')} in the form ` : 'the form '}${pattern}`
}

function article(type: string): string {
  return type === 'array' ? 'a list' : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Runs the rules of every level. Rules about changes (`oldSelf`) are the API server's and the approvals station's. */
function runRules(schema: Schema, value: unknown, path: readonly (string | number)[]): Finding[] {
  if (value === undefined || value === null) return []
  const findings: Finding[] = []
  for (const { rule, message, fieldPath } of schema['x-kubernetes-validations'] ?? []) {
    if (rule.includes('oldSelf')) continue
    if (evaluate(rule, { self: value as Record<string, unknown> }) !== true) {
      findings.push({ path: [...path, ...(fieldPath ? [fieldPath.slice(1)] : [])], onKey: false, message })
    }
  }
  if (Array.isArray(value) && schema.items) {
    const { items } = schema
    value.forEach((item, index) => {
      findings.push(...runRules(items, item, [...path, index]))
    })
    findings.push(...duplicateKeys(schema, value, path))
  } else if (typeof value === 'object') {
    const { properties = {}, additionalProperties } = schema
    for (const [name, inner] of Object.entries(value as Record<string, unknown>)) {
      const property = Object.hasOwn(properties, name) ? properties[name] : additionalProperties
      if (property) findings.push(...runRules(property, inner, [...path, name]))
    }
  }
  return findings
}

function duplicateKeys(
  schema: Schema,
  items: readonly unknown[],
  path: readonly (string | number)[],
): Finding[] {
  if (schema['x-kubernetes-list-type'] !== 'map') return []
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const seen = new Set<string>()
  return items.flatMap((item, index) => {
    const key = JSON.stringify(keys.map((name) => (item as Record<string, unknown>)[name]))
    if (!seen.has(key)) {
      seen.add(key)
      return []
    }
    return [
      {
        path: [...path, index],
        onKey: false,
        message: `${keys.join(' and ')} ${key.slice(1, -1)} is used twice`,
      },
    ]
  })
}

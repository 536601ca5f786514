/**
 * Writes what is derived from the CRD manifests: TypeScript types, the schemas that the loader validates with, the
 * reference page, and the copies in the Helm chart, which can hold no files from elsewhere. `--check` writes nothing and fails when a file is not what it would write.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { type Definition, readDefinitions, type Schema } from './schema.ts'

const definitions = readDefinitions()
const outputs: readonly (readonly [path: string, text: string])[] = [
  ['generated/types.ts', types()],
  [
    'generated/schemas.json',
    `${JSON.stringify(Object.fromEntries(definitions.map((d) => [d.kind, d])), null, 1)}\n`,
  ],
  ['../docs/crd-reference.md', reference()],
  ...definitions.map(({ kind }): [string, string] => {
    const file = `${kind.toLowerCase()}.yaml`
    return [`../charts/firebreak/files/crds/${file}`, readFileSync(new URL(file, import.meta.url), 'utf8')]
  }),
]

const stale: string[] = []
for (const [path, text] of outputs) {
  const url = new URL(path, import.meta.url)
  if (process.argv.includes('--check')) {
    if (readOrEmpty(url) !== text) stale.push(path)
  } else writeFileSync(url, text)
}
if (stale.length > 0) {
  console.error(`Not up to date with the CRDs: ${stale.join(', ')}. Run: node crds/generate.ts`)
  process.exit(1)
}

function readOrEmpty(url: URL): string {
  try {
    return readFileSync(url, 'utf8')
  } catch {
    return ''
  }
}

function types(): string {
  const head = '// Generated from the CRDs by `node crds/generate.ts`. Do not edit.\n'
  const metadata = `
/** The part of Kubernetes' object metadata that Firebreak looks at. */
export interface ObjectMeta {
  name: string
  namespace: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  generation?: number
  resourceVersion?: string
  uid?: string
}
`
  return head + metadata + definitions.map(interfaceOf).join('')
}

function interfaceOf({ kind, apiVersion, schema }: Definition): string {
  const { spec, status } = schema.properties ?? {}
  if (!spec || !status) throw new Error(`${kind} needs spec and status`)
  return `
${docstring(schema, '')}export interface ${kind} {
  apiVersion: '${apiVersion}'
  kind: '${kind}'
  metadata: ObjectMeta
  spec: ${kind}Spec
  status?: ${kind}Status
}

${docstring(spec, '')}export interface ${kind}Spec ${typeOf(spec, '')}

${docstring(status, '')}export interface ${kind}Status ${typeOf(status, '')}
`
}

function docstring(schema: Schema, indent: string): string {
  return schema.description ? `${indent}/** ${schema.description} */\n` : ''
}

function typeOf(schema: Schema, indent: string): string {
  if (schema.enum) return schema.enum.map((value) => `'${value}'`).join(' | ')
  if (schema.type === 'array') return arrayOf(typeOf(schema.items ?? { type: 'string' }, indent))
  if (schema.type === 'integer') return 'number'
  if (schema.type !== 'object') return schema.type
  if (schema.additionalProperties) return `Record<string, ${typeOf(schema.additionalProperties, indent)}>`
  const inner = `${indent}  `
  const lines = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const present = schema.required?.includes(name) || property.default !== undefined
    return `${docstring(property, inner)}${inner}${name}${present ? '' : '?'}: ${typeOf(property, inner)}\n`
  })
  return lines.length === 0 ? 'Record<string, never>' : `{\n${lines.join('')}${indent}}`
}

function arrayOf(item: string): string {
  return /^[\w<>, ]+$/.test(item) ? `${item}[]` : `(${item})[]`
}

function reference(): string {
  const sections = definitions.map(({ kind, shortNames, schema }) => {
    const rows = ['spec', 'status'].flatMap((part) => {
      const property = schema.properties?.[part]
      return property ? fieldRows(property, part) : []
    })
    return [
      `## ${kind}`,
      '',
      `${schema.description} Short name: \`${shortNames.join('`, `')}\`.`,
      '',
      '| field | type | default | meaning |',
      '| --- | --- | --- | --- |',
      ...rows,
      '',
    ].join('\n')
  })
  return `# API reference: \`firebreak.dev/v1alpha1\`\n\nGenerated from the manifests in \`crds/\`. A field in **bold** is required.\n\n${sections.join('\n')}`
}

function fieldRows(schema: Schema, path: string): string[] {
  const rows: string[] = []
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const item = property.items ?? property
    const fieldPath = `${path}.${name}${property.items ? '[]' : ''}`
    const shown = schema.required?.includes(name) ? `**${fieldPath}**` : fieldPath
    const standard = property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``
    rows.push(`| ${shown} | ${typeName(property)} | ${standard} | ${meaning(property)} |`)
    rows.push(...fieldRows(item, fieldPath))
  }
  return rows
}

function typeName(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(' ')
  if (schema.items) return `list of ${typeName(schema.items)}`
  return schema.additionalProperties ? 'map' : schema.type
}

function meaning(schema: Schema): string {
  const rules = (schema['x-kubernetes-validations'] ?? []).map((rule) => rule.message)
  return [schema.description ?? '', ...rules.map((rule) => `*${rule}.*`)]
    .join(' ')
    .replaceAll('|', '\\|')
    .trim()
}

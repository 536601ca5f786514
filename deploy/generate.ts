/** Writes the Kustomize base: the chart with its defaults, without what only helm runs. `--check` only compares. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments, stringify } from 'yaml'
import { chart, Helm } from '../e2e/chart/helm.ts'

interface Metadata {
  readonly labels?: Record<string, string>
  readonly annotations?: Record<string, string>
}

interface Rendered {
  readonly metadata: Metadata
  readonly spec?: { readonly template?: { readonly metadata: Metadata } }
}

const helms = ['helm.sh/chart', 'helm.sh/resource-policy', 'app.kubernetes.io/managed-by']

const base = fileURLToPath(new URL('kustomize/base/operator.yaml', import.meta.url))
using helm = await Helm.find()
const release = ['firebreak', chart, '--namespace', 'firebreak-system', '--no-hooks']
const objects = parseAllDocuments(await helm.run(['template', ...release])).flatMap((document): Rendered[] =>
  document.contents === null ? [] : [document.toJS() as Rendered],
)
for (const { metadata, spec } of objects)
  for (const part of [metadata, spec?.template?.metadata])
    for (const name of helms) for (const map of [part?.labels, part?.annotations]) delete map?.[name]
const text = objects
  .map((each) => stringify(each, { lineWidth: 0, aliasDuplicateObjects: false }))
  .join('---\n')
const wanted = `# The chart with its defaults. Written by \`node deploy/generate.ts\`. Do not edit.\n${text}`

if (!process.argv.includes('--check')) writeFileSync(base, wanted)
else if (readFileSync(base, 'utf8') !== wanted) {
  console.error('deploy/kustomize/base is not up to date with the chart. Run: node deploy/generate.ts')
  process.exit(1)
}

/** SARIF, which code hosts show beside the changed line. https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html */
import { pathToFileURL } from 'node:url'
import type { ManifestProblem } from '@firebreak/crds'
import type { Log, ReportingDescriptor, Result } from 'sarif'

const rules = {
  error: {
    id: 'invalid-manifest',
    shortDescription: { text: 'The manifest is not valid, and nothing of its directory takes effect.' },
    defaultConfiguration: { level: 'error' },
  },
  warning: {
    id: 'doubtful-manifest',
    shortDescription: { text: 'The manifest is valid, and can hardly be meant so.' },
    defaultConfiguration: { level: 'warning' },
  },
} as const satisfies Record<ManifestProblem['severity'], ReportingDescriptor>

/** @param problems whose files are named from the working directory, which should be the root of the repository. */
export function sarif(version: string, problems: readonly ManifestProblem[]): Log {
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'Firebreak', version, rules: Object.values(rules) } },
        columnKind: 'utf16CodeUnits',
        results: problems.map(resultOf),
      },
    ],
  }
}

function resultOf({ severity, location, object, field, message, source }: ManifestProblem): Result {
  const about = [object, field].filter((part) => part !== '').join(' ')
  const { file, line, column } = location
  return {
    ruleId: rules[severity].id,
    level: severity,
    message: { text: about === '' ? message : `${about}: ${message}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: uriOf(file) },
          ...(line > 0 && {
            region: {
              startLine: line,
              startColumn: column,
              ...(source !== '' && { snippet: { text: source } }),
            },
          }),
        },
      },
    ],
  }
}

/** A path from the working directory stays relative. */
function uriOf(file: string): string {
  const root = pathToFileURL(`${process.cwd()}/`).href
  const { href } = pathToFileURL(file)
  return href.startsWith(root) ? href.slice(root.length) : href
}

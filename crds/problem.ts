/** How problems in manifests are written down. */
import type { Location, ManifestProblem } from './manifest.ts'

/** Finds the place of a field of one object in its file. */
export type Locate = (
  path: readonly (string | number)[],
  onKey?: boolean,
) => Location & { readonly source: string }

export function problem(
  { source, ...location }: Location & { readonly source: string },
  object: string,
  field: string,
  message: string,
  severity: ManifestProblem['severity'] = 'error',
): ManifestProblem {
  return { severity, location, object, field, message, source }
}

/** `AgentIdentity agents/support-bot`, as far as the value tells. */
export function describe(value: unknown): string {
  if (!isRecord(value) || typeof value.kind !== 'string') return ''
  const metadata = isRecord(value.metadata) ? value.metadata : {}
  if (typeof metadata.name !== 'string') return value.kind
  return `${value.kind} ${typeof metadata.namespace === 'string' ? metadata.namespace : 'default'}/${metadata.name}`
}

/** `['spec', 'rules', 0]` as `spec.rules[0]`. */
export function fieldPath(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${part}` : part),
    '',
  )
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Dashboards and alert rules, and whether what they ask for exists. */
import { readFileSync } from 'node:fs'
import { parser } from '@prometheus-io/lezer-promql'
import { parse } from 'yaml'

const directory = new URL('../charts/firebreak/files/monitoring/', import.meta.url)

export const alertsFile = new URL('alerts.yaml', directory)

interface Alerts {
  readonly groups: readonly {
    readonly name: string
    readonly rules: readonly {
      readonly alert: string
      readonly expr: string
      readonly annotations: Readonly<Record<string, string>>
    }[]
  }[]
}

interface Dashboard {
  readonly templating: { readonly list: readonly { readonly definition?: string }[] }
  readonly panels: readonly {
    readonly title: string
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
  }[]
}

/** Something that is asked of Prometheus, with the labels that the text around it names. */
export interface Query {
  readonly place: string
  readonly expression: string
  readonly shown: readonly string[]
}

/** All that is asked about enforcers, or about operators. */
export function queriesAbout(what: 'enforcer' | 'operator'): Query[] {
  const dashboard = JSON.parse(
    readFileSync(new URL(`${what}-dashboard.json`, directory), 'utf8'),
  ) as Dashboard
  const { groups } = parse(readFileSync(alertsFile, 'utf8')) as Alerts
  return [
    ...dashboard.panels.flatMap(({ title, targets }) =>
      targets.map(({ expr, legendFormat }) => ({
        place: `panel ${title}`,
        expression: withoutVariables(expr),
        shown: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label),
      })),
    ),
    ...dashboard.templating.list.flatMap(({ definition }) => {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition ?? '') ?? []
      return metric && label ? [{ place: 'a variable', expression: metric, shown: [label] }] : []
    }),
    ...groups
      .filter(({ name }) => name === `firebreak-${what}`)
      .flatMap(({ rules }) =>
        rules.map(({ alert, expr, annotations }) => ({
          place: `alert ${alert}`,
          expression: expr,
          shown: [
            ...Object.values(annotations)
              .join()
              .matchAll(/\$labels\.(\w+)/g),
          ].map(([, label = '']) => label),
        })),
      ),
  ]
}

/** What Grafana puts in before Prometheus sees it. */
function withoutVariables(expression: string): string {
  return expression.replaceAll('$__rate_interval', '5m').replaceAll('"$resource"', '".*"')
}

/** @returns what a query asks for that is not in an exposition, in words. */
export function missingFrom(exposition: string, { place, expression, shown }: Query): string[] {
  const exported = metricsOf(exposition)
  const problems: string[] = []
  const labels = new Set(['instance', 'job', 'namespace', 'pod'])
  const named: string[] = []
  const text = (from: number, to: number): string => expression.slice(from, to)
  parser.parse(expression).iterate({
    enter({ type, from, to, node }) {
      if (type.isError) problems.push(`${place}: this is no PromQL at ${from}: ${expression}`)
      if (type.name === 'LabelName') named.push(text(from, to))
      if (type.name !== 'VectorSelector') return
      const identifier = node.getChild('Identifier')
      const metric = identifier ? text(identifier.from, identifier.to) : ''
      const own = exported.get(metric)
      if (!own) problems.push(`${place}: there is no metric ${metric}`)
      for (const label of own ?? []) labels.add(label)
    },
  })
  for (const label of [...named, ...shown])
    if (!labels.has(label)) problems.push(`${place}: there is no label ${label} in ${expression}`)
  return problems
}

/** Labels of each sample, by its name. */
function metricsOf(exposition: string): Map<string, Set<string>> {
  const metrics = new Map<string, Set<string>>()
  for (const line of exposition.split('\n')) {
    const [, name = '', inside = ''] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    if (name === '') continue
    const labels = metrics.get(name) ?? new Set()
    for (const [, label = ''] of inside.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) labels.add(label)
    metrics.set(name, labels)
  }
  return metrics
}

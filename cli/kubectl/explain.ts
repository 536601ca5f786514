/** `kubectl firebreak explain`: what becomes of a pod's command under the policies of the cluster. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { ManifestSet } from '@firebreak/crds'
import { labels } from '@firebreak/operator/containment/names.ts'
import { pods } from '@firebreak/operator/kubernetes/objects.ts'
import { compilePolicy, type PolicySnapshot, type Subject } from '@firebreak/policy'
import { type Explanation, explainRequest, explainSqlIn } from '@firebreak/sidecar'
import { isAskedByRequests } from '@firebreak/sidecar/protocols/languages.ts'
import { readManifests } from '../cluster.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { showExplanation, sqlText } from '../explain.ts'
import { style } from '../output.ts'
import { requestHelp, requestOptions, requestText } from '../request-options.ts'
import { Databases } from '../testing/database.ts'
import { subjectOf } from '../testing/subject.ts'
import { inPlace, type Place, placeHelp, placeOptions } from './place.ts'
import { formatOf, outputHelp, outputOptions, wroteValue } from './show.ts'

const options = {
  ...placeOptions,
  ...outputOptions,
  schema: { type: 'string' },
  resource: { type: 'string' },
  role: { type: 'string' },
  group: { type: 'string', multiple: true },
  'search-path': { type: 'string' },
  ...requestOptions,
} as const

/** What a decision in the pod depends on besides, which isn't in the cluster's manifests. */
const unknownOfSql =
  "not known here: what differs from the schema in the real database, elevations in force, and the session's own settings"
const unknownOfRequests = 'not known here: elevations in force, and what signals hold back from the agent'

export const explain: CliCommand = {
  name: 'explain',
  summary: 'show which decision a pod gets for a command, and why',
  options: Object.keys(options),
  help: `Shows which decision a pod gets for a command under the policies that are in the cluster now, and why. Nothing is run:
names in SQL are looked up in a schema that you give, as firebreak test does it. A request of an HTTP or Kubernetes API is
written as 'DELETE /users/42'; with - all of it, headers, an empty line and a body, is read from the standard input.

Usage: kubectl firebreak explain POD [--schema FILE] [--resource NAME] [--role ROLE] [--group GROUP]… [-n NS] -- COMMAND

  --schema FILE           SQL that makes the tables, as pg_dump --schema-only writes it; for SQL
${requestHelp}
  --resource NAME         a ProtectedResource (default: the only one that the agent may use)
  --role ROLE             default: the first role that the agent has
  --group GROUP           one that its token proves, besides the agent's own
  --search-path A,B       schemas in which names are looked up (default: public)
${outputHelp}
${placeHelp}

Exit code 0: allowed. 1: denied or held, or it can't be said.`,
  async run(words) {
    const separator = words.indexOf('--')
    if (separator < 0) throw new UsageError('explain needs -- before the command')
    const { values, positionals } = parseArgs({
      args: words.slice(0, separator),
      allowPositionals: true,
      options,
    })
    const [pod, ...more] = positionals
    const line = words.slice(separator + 1).join(' ')
    const { schema, role, group: groups, 'search-path': searchPath = 'public' } = values
    if (pod === undefined || more.length > 0 || line === '')
      throw new UsageError('explain needs a pod and a command')
    const format = formatOf(values.output)
    const sql = schema === undefined ? undefined : readFileSync(schema, 'utf8')
    return await inPlace(values, async (place) => {
      const identity = await identityOf(place, pod)
      const manifests = await readManifests(place.client, [place.namespace])
      const compiled = compilePolicy(manifests)
      if (!compiled.ok)
        throw new Error(
          compiled.problems
            .map(
              ({ policy, field, message }) =>
                `GuardrailPolicy ${policy} in the cluster, ${field}: ${message}`,
            )
            .join('\n'),
        )
      const access =
        manifests.identities.find(({ metadata }) => metadata.name === identity)?.spec.access ?? []
      const resource = values.resource ?? (access.length === 1 ? access[0]?.resource : undefined)
      if (resource === undefined)
        throw new UsageError(
          `--resource says which one: ${identity} may use ${access.map((each) => each.resource).join(', ') || 'none'}`,
        )
      const given = {
        namespace: place.namespace,
        identity,
        resource,
        ...(role && { role }),
        ...(groups && { groups }),
      }
      const found = subjectOf(given, manifests, compiled.snapshot)
      if (!found.ok) throw new Error(found.mistake.message)
      const { spec } = manifests.resources.find(({ metadata }) => metadata.name === resource) ?? {}
      const isRequest = spec !== undefined && isAskedByRequests(spec.type)
      const explained = isRequest
        ? explainedRequest(compiled.snapshot, found.subject, requestText(line, values), manifests)
        : await explainedSql(compiled.snapshot, found.subject, sqlText(line, values), sql, searchPath, schema)
      const unknown = isRequest ? unknownOfRequests : unknownOfSql
      if (!wroteValue(format, { identity, resource, explained, unknown })) {
        console.log(
          `${style('bold', `${place.namespace}/${identity}`)} on ${resource} as ${found.subject.role}`,
        )
        for (const explanation of explained) console.log(showExplanation(explanation))
        for (const { serverError } of explained)
          if (serverError !== undefined) console.log(`PostgreSQL would refuse it: ${serverError}`)
        console.log(style('dim', unknown))
      }
      return explained.every(({ decision }) => decision.effect === 'allow') ? 0 : 1
    })
  },
}

function explainedRequest(
  snapshot: PolicySnapshot,
  subject: Subject,
  text: string,
  { resources }: ManifestSet,
): readonly Explanation[] {
  const resource = resources.find(
    ({ metadata: { namespace, name } }) => `${namespace}/${name}` === subject.resource,
  )
  if (!resource) throw new Error(`there is no resource ${subject.resource}`)
  const explained = explainRequest(snapshot, subject, text, resource)
  if (!explained.ok) throw new Error(`the gateway would refuse it: ${explained.error}`)
  return explained.value
}

/** @param sql that makes the tables, in the file `schema`. */
async function explainedSql(
  snapshot: PolicySnapshot,
  subject: Subject,
  text: string,
  sql: string | undefined,
  searchPath: string,
  schema = '',
): Promise<readonly Explanation[]> {
  if (sql === undefined)
    throw new UsageError("explain needs --schema FILE: names mean nothing without the database's tables")
  await using databases = new Databases()
  const read = await databases.catalogueOf(sql)
  if (!read.ok) throw new Error(`${schema}:${read.line ?? 1}:${read.column ?? 1}: ${read.message}`)
  return explainSqlIn(read.catalogue, searchPath.split(','), snapshot, subject, text)
}

/** By the label that admission gave the pod, which nobody else may set. */
async function identityOf({ client, namespace }: Place, name: string): Promise<string> {
  const pod = await client.get(pods, name.replace(/^pods?\//, ''), namespace)
  if (!pod) throw new Error(`there is no pod ${name} in namespace ${namespace}`)
  const identity = pod.metadata.labels?.[labels.agent]
  if (identity === undefined)
    throw new Error(`pod ${name} is no agent's: it has no label ${labels.agent}, and no sidecar`)
  return identity
}

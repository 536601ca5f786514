/** Decides a command without running it. */
import type { ProtectedResource } from '@firebreak/crds'
import type { Command, Decision, PolicySnapshot, Subject } from '@firebreak/policy'
import { systemClock } from './clock.ts'
import type { Configuration } from './configuration/configuration.ts'
import { nameOf } from './configuration/name.ts'
import { Credentials } from './credentials/credentials.ts'
import { httpTargetOf, targetOf } from './listen/target.ts'
import { meaningOf } from './protocols/http/analysis/of-target.ts'
import { commandOfText, requestOfText } from './protocols/http/analysis/text.ts'
import { isOpen } from './protocols/http/exchange/question.ts'
import { dryRunOf } from './protocols/kubernetes/dry-run.ts'
import { analysisOf } from './protocols/kubernetes/meaning.ts'
import { isAskedByRequests } from './protocols/languages.ts'
import { analyseText } from './protocols/postgresql/analysis/analyse.ts'
import { newSession } from './protocols/postgresql/analysis/context.ts'
import type { SessionContext } from './protocols/postgresql/analysis/types.ts'
import { CatalogueCache } from './protocols/postgresql/catalogue/cache.ts'
import { buildCatalogue } from './protocols/postgresql/catalogue/catalogue.ts'
import { catalogueQuery } from './protocols/postgresql/catalogue/query.ts'
import type { Catalogue } from './protocols/postgresql/catalogue/types.ts'
import type { Result } from './session.ts'

export interface Explanation {
  readonly command: Command
  readonly decision: Decision
  /** What the server would answer, where that is certain: a name that is not there, or a mistake in the text. */
  readonly serverError?: string
  /** What the decision also depends on and isn't known here, in words. */
  readonly open?: string
}

const timeout = 15_000

/** One explanation per command of the text. A database is asked for its catalogue, with the role's credential and the default search path. */
export async function explainCommand(
  configuration: Configuration,
  subject: Subject,
  text: string,
): Promise<Result<readonly Explanation[], string>> {
  const resource = configuration.manifests.resources.find(
    (candidate) => nameOf(candidate) === subject.resource,
  )
  const role = resource?.spec.roles.find((candidate) => candidate.name === subject.role)
  if (!resource || !role)
    return { ok: false, error: `there is no role ${subject.role} of ${subject.resource}` }
  if (isAskedByRequests(resource.spec.type))
    return explainRequest(configuration.snapshot, subject, text, resource)
  if (resource.spec.type !== 'postgresql')
    return { ok: false, error: `commands of type ${resource.spec.type} can't be explained by this version` }
  const target = targetOf(resource, configuration)
  const credentials = new Credentials(
    () => configuration,
    systemClock,
    () => {},
  )
  const credential = await credentials.current(subject.resource, subject.role)
  if (!target.ok) return target
  if (!credential.ok) return credential
  const cache = new CatalogueCache(
    target.value,
    async () => credential,
    target.value.database ?? credential.value.username,
  )
  const catalogue = await cache.acquire(AbortSignal.timeout(timeout))
  if (!catalogue.ok) return { ok: false, error: catalogue.error.message }
  cache.release()
  const { username } = credential.value
  const context = newSession(catalogue.value, username, [username, 'public'])
  return { ok: true, value: decideText(configuration.snapshot, subject, text, context) }
}

/** A request of an HTTP or Kubernetes API, written as {@link requestOfText} takes it. */
export function explainRequest(
  snapshot: PolicySnapshot,
  subject: Subject,
  text: string,
  resource: ProtectedResource,
): Result<readonly Explanation[], string> {
  const decide = (command: Command): Decision => snapshot.decide(subject, command)
  if (resource.spec.type === 'kubernetes') return explainKubernetes(text, decide)
  const command = httpCommand(text, resource)
  if (!command.ok) return command
  return { ok: true, value: [{ command: command.value, decision: decide(command.value) }] }
}

function httpCommand(text: string, resource: ProtectedResource): Result<Command, string> {
  return commandOfText(text, meaningOf(httpTargetOf(resource)))
}

function explainKubernetes(
  text: string,
  decide: (command: Command) => Decision,
): Result<readonly Explanation[], string> {
  const written = requestOfText(text)
  if (!written.ok) return written
  const { request } = written.value
  const known = analysisOf(request)
  if (!known.ok) return { ok: false, error: known.error.message }
  const { command } = known.value
  const decision = decide(command)
  const question = dryRunOf(request)
  const isUnknown = question && isOpen(question, decision, decide)
  return { ok: true, value: [{ command, decision, ...(isUnknown && { open: unknownResult }) }] }
}

const unknownResult =
  'what the request makes of the object is not known here: its pods may have what is decided otherwise, and the API server is asked for that'

/** What {@link explainCommand} says of SQL, by a catalogue that is known already. @param searchPath in force in the session. */
export function explainSqlIn(
  catalogue: Catalogue,
  searchPath: readonly string[],
  snapshot: PolicySnapshot,
  subject: Subject,
  text: string,
): readonly Explanation[] {
  return decideText(snapshot, subject, text, newSession(catalogue, catalogue.reader, searchPath))
}

/** @param ask runs a statement in a database, and returns its only value. */
export async function readCatalogue(ask: (sql: string) => Promise<string>): Promise<Catalogue> {
  return buildCatalogue(await ask(catalogueQuery('system')), await ask(catalogueQuery('user')))
}

function decideText(
  snapshot: PolicySnapshot,
  subject: Subject,
  text: string,
  context: SessionContext,
): readonly Explanation[] {
  return analyseText(Buffer.from(text), context).map(({ command, serverError }) => ({
    command,
    decision: snapshot.decide(subject, command),
    ...(serverError && { serverError: serverError.message }),
  }))
}

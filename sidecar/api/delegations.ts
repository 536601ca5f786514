/** Delegations over the local API. */
import type { RequestSchema } from '@firebreak/crds'
import { seconds } from '@firebreak/policy'
import {
  chainInWords,
  chainOf,
  type Delegation,
  type Delegator,
  identitiesOf,
} from '../delegation/delegation.ts'
import type { DelegationAsk, Delegations, IssuedDelegation } from '../delegation/delegations.ts'
import type { Proof } from '../identity/proof.ts'
import { type ApiAnswer, type ApiRequest, failure, type Route } from './route.ts'

const durationPattern = '^[1-9][0-9]{0,8}(ms|s|m|h|d)([0-9]{1,9}(ms|s|m|h|d))*$'
const names = (description: string, item: Partial<RequestSchema> = {}): RequestSchema => ({
  type: 'array',
  description,
  minItems: 1,
  maxItems: 32,
  'x-kubernetes-list-type': 'set',
  items: { type: 'string', minLength: 1, maxLength: 253, ...item },
})
const count: RequestSchema = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER }

/** What POST takes. */
const askSchema: RequestSchema = {
  type: 'object',
  required: ['to'],
  properties: {
    to: {
      type: 'string',
      description: 'The name of an AgentIdentity.',
      pattern: '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$',
      maxLength: 253,
    },
    resources: names('Names of resources.'),
    roles: names('Names of roles.'),
    actions: names('Actions.', { pattern: '^(\\*|[a-z0-9]+:[A-Za-z0-9*._/-]+)$', maxLength: 128 }),
    objects: names('Objects.', { maxLength: 512 }),
    limits: {
      type: 'object',
      properties: {
        rowsPerCommand: count,
        rowsPerHour: count,
        bytesPerCommand: count,
        bytesPerHour: count,
        commandsPerMinute: count,
        commandDuration: { type: 'string', pattern: durationPattern, maxLength: 32 },
      },
    },
    for: { type: 'string', pattern: durationPattern, maxLength: 32 },
    user: { type: 'integer', minimum: 0, maximum: 0xffff_fffe },
  },
}

type LimitsBody = Omit<NonNullable<DelegationAsk['limits']>, 'commandSeconds'> & {
  readonly commandDuration?: string
}
type AskBody = Omit<DelegationAsk, 'limits'> & { readonly limits?: LimitsBody }

export function delegationRoutes(delegations: Delegations): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/delegations',
      schema: askSchema,
      handle: async ({ caller, body, remote, user }) => {
        const objection = objectionTo((body as AskBody).user, user)
        if (objection !== undefined) return failure(400, objection)
        const issued = await delegations.issue(delegatorOf(caller), askOf(body as AskBody), remote)
        if (issued.ok) return { status: 201, body: shownWithToken(issued.value) }
        const { code, message, reference } = issued.error
        return failure(code === 'full' ? 429 : 403, message, { reference })
      },
    },
    {
      method: 'GET',
      path: '/v1/delegations',
      handle: ({ caller }) => ({
        status: 200,
        body: { delegations: delegations.open.below(delegatorOf(caller)).map(shown) },
      }),
    },
    {
      method: 'DELETE',
      path: '/v1/delegations/*',
      handle: (request) => revoke(delegations, request),
    },
  ]
}

/** Why nobody could be told by a user of this system. */
function objectionTo(child: number | undefined, user: () => number | undefined): string | undefined {
  if (child === undefined) return undefined
  if (process.platform !== 'linux') return 'user: who is at the other end can be told on Linux only'
  return child === user() ? 'user: the parent itself runs as it, so that nothing tells them apart' : undefined
}

function revoke(delegations: Delegations, { caller, name }: ApiRequest): ApiAnswer {
  const by = delegatorOf(caller)
  if (delegations.revoke(by, name)) return { status: 204 }
  // whether somebody else has one of that name is nobody's business
  return failure(404, `${chainInWords(identitiesOf(by))} has no delegation ${name}`)
}

function delegatorOf(caller: Proof): Delegator {
  return caller.kind === 'delegation'
    ? { kind: 'child', delegation: caller.delegation }
    : { kind: 'root', proof: caller }
}

function askOf({ limits, ...ask }: AskBody): DelegationAsk {
  if (!limits) return ask
  const { commandDuration, ...counts } = limits
  return {
    ...ask,
    limits: {
      ...counts,
      ...(commandDuration !== undefined && { commandSeconds: seconds(commandDuration) }),
    },
  }
}

function shown(delegation: Delegation): Readonly<Record<string, unknown>> {
  const { id, scope, expiresAt, user } = delegation
  return {
    id,
    chain: chainOf(delegation),
    scope,
    expiresAt: new Date(expiresAt).toISOString(),
    ...(user !== undefined && { user }),
  }
}

function shownWithToken({ delegation, token }: IssuedDelegation): Readonly<Record<string, unknown>> {
  return { ...shown(delegation), token }
}

/** Elevations over the local API: more rights for a while, asked for by the agents themselves. */
import type { ApprovalRequest, RequestSchema } from '@firebreak/crds'
import { type AccessRequest, requestAccess } from '../approvals/access.ts'
import { chainOf } from '../identity/proof.ts'
import type { Runtime } from '../runtime.ts'
import { failure, type Route } from './route.ts'

const text = (description: string, maxLength: number): RequestSchema => ({
  type: 'string',
  description,
  minLength: 1,
  maxLength,
})
const texts = (description: string, maxLength: number): RequestSchema => ({
  type: 'array',
  description,
  minItems: 1,
  maxItems: 64,
  'x-kubernetes-list-type': 'set',
  items: { type: 'string', minLength: 1, maxLength },
})

/** What POST takes. */
const schema: RequestSchema = {
  type: 'object',
  required: ['resource', 'for', 'reason'],
  properties: {
    resource: text('Name of a resource.', 253),
    role: text('A further role, or a role of its own that the actions are for.', 63),
    actions: texts('Actions that are allowed meanwhile.', 128),
    objects: texts('What the actions are allowed on.', 256),
    for: text('How long, from the approval on.', 32),
    reason: text('Why.', 4_096),
    breakGlass: { type: 'boolean', description: 'For an emergency: granted at once, and loud.' },
  },
}

type Body = Omit<AccessRequest, 'duration' | 'justification'> & {
  readonly for: string
  readonly reason: string
}

export function accessRoutes(runtime: Runtime): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/elevations',
      schema,
      handle: async ({ caller, body, user }) => {
        const { for: duration, reason, ...ask } = body as Body
        const made = await requestAccess(
          runtime,
          chainOf(caller),
          {
            ...ask,
            duration,
            justification: reason,
          },
          user(),
        )
        return made.ok ? { status: 201, body: shown(made.value) } : failure(403, made.error)
      },
    },
    {
      method: 'GET',
      path: '/v1/elevations',
      handle: ({ caller }) => ({
        status: 200,
        body: { elevations: (runtime.approvals?.elevationsOf(chainOf(caller)) ?? []).map(shown) },
      }),
    },
  ]
}

function shown({ metadata, spec, status }: ApprovalRequest): Readonly<Record<string, unknown>> {
  return {
    name: metadata.name,
    resource: spec.resource,
    role: spec.role,
    elevation: spec.elevation,
    state: status?.state,
    expiresAt: spec.expiresAt,
    grantedUntil: status?.grantedUntil,
  }
}

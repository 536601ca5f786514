/** Further roles that people have granted to an agent for a while: its sidecars need their credentials meanwhile. */
import type { GrantedRole } from '../compile/agent.ts'
import type { Key } from '../watch/informer.ts'
import type { World } from '../watch/world.ts'
import { agentOf } from './requests.ts'
import { standing } from './standing.ts'

export function rolesGrantedTo(
  agent: Key,
  { approvals }: Pick<World, 'approvals'>,
  now = new Date(),
): readonly GrantedRole[] {
  return [...approvals.list()].flatMap((request) => {
    const { resource, elevation } = request.spec
    if (elevation?.role === undefined || agentOf(request) !== agent) return []
    return standing(request, now).status.state === 'Approved' ? [{ resource, role: elevation.role }] : []
  })
}

/** ApprovalRequest: its status as the votes and the time have it, told to whoever is to know; deleted when it was kept long enough. */
import { isDeepStrictEqual } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import { seconds } from '@firebreak/policy'
import type { ApprovalEvent } from '@firebreak/sidecar/approvals/events.ts'
import { isFinished } from '@firebreak/sidecar/approvals/store.ts'
import { happenings } from '../approvals/happenings.ts'
import { agentOf } from '../approvals/requests.ts'
import { lapsesAt, type Standing, standing } from '../approvals/standing.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { approvalRequests } from '../kubernetes/objects.ts'
import type { World } from '../watch/world.ts'
import { type Condition, conditionsSince } from './conditions.ts'
import { type Controller, watching } from './controller.ts'

type Request = (typeof approvalRequests)['object']

/** Of an agent's requests that people have decided on, and of others, the youngest so many are kept. */
const kept = { decided: 1_000, undecided: 100 }
const defaultRetention = '7d'
/** Node's timers take no more; then it is looked at again. In milliseconds. */
const longestWait = 2 ** 31 - 1

/** Never fails, and holds nothing up. */
export type TellApproval = (event: ApprovalEvent, request: Request) => void

export function approvalRequestController(
  world: World,
  client: KubernetesClient,
  tell: TellApproval,
): Controller {
  return {
    name: 'ApprovalRequest',
    watches: [watching(world.approvals)],
    async reconcile(key) {
      const request = world.approvals.get(key)
      if (!request || request.metadata.deletionTimestamp) return undefined
      const now = new Date()
      const stands = standing(request, now)
      const { generation } = request.metadata
      const status = {
        ...stands.status,
        ...(generation !== undefined && { observedGeneration: generation }),
        conditions: conditionsOf(stands, request.status?.conditions, now),
      }
      if (!isDeepStrictEqual(plain(status), plain(request.status))) {
        // on what was read only: a use that was written meanwhile must stand
        await client.replace(approvalRequests, { ...request, status }, 'status')
        for (const event of happenings(request, { ...stands, status })) tell(event, request)
        // the watch brings it back
        return undefined
      }
      if (!isFinished(stands)) return until(lapsesAt(stands), now)
      for (const old of beyond(stands, world)) await remove(old, client)
      const left = until(deletedAt(stands, world), now)
      if (left === undefined || left > 0) return left
      await remove(request, client)
      return undefined
    },
  }
}

async function remove({ metadata: { name, namespace } }: Request, client: KubernetesClient): Promise<void> {
  await client.delete(approvalRequests, name, namespace)
}

const endings: Partial<Record<NonNullable<Standing['status']['state']>, string>> = {
  Denied: 'it was denied',
  Expired: 'its time is over',
  Used: 'the command ran',
  Withdrawn: 'nobody waits for it any more',
}

/** `Approved`: it is, or was and is used. `Complete`: nothing can happen to it any more. */
function conditionsOf(
  { spec, status: { state = 'Pending', why, grantedUntil } }: Standing,
  before: readonly Condition[] | undefined,
  now: Date,
): Condition[] {
  const approved = state === 'Approved' || state === 'Used'
  const ending = endings[state]
  return conditionsSince(
    [
      {
        type: 'Approved',
        status: approved ? 'True' : 'False',
        reason: state,
        message: approved
          ? `approved${spec.reason === undefined ? '' : `: ${spec.reason}`}${grantedUntil === undefined ? '' : `, until ${grantedUntil}`}`
          : (ending ?? 'those who are asked have not agreed yet'),
      },
      {
        type: 'Complete',
        status: ending === undefined ? 'False' : 'True',
        reason: state,
        message: why ?? ending ?? 'it is open',
      },
    ],
    undefined,
    before,
    now.toISOString(),
  )
}

/** When a finished request is deleted: by the policies that asked, as they are now. */
function deletedAt({ spec, status }: Standing, world: World): string | undefined {
  const finished = status.conditions?.find(({ type }) => type === 'Complete')?.lastTransitionTime
  if (finished === undefined) return undefined
  const retentions = spec.requirements.map(({ policy, rule: name }) => {
    const { rules = [], elevations = [] } = world.policies.get(policy)?.spec ?? {}
    const asking = [...rules, ...elevations].find((candidate) => candidate.name === name)
    return seconds(asking?.approval?.retention ?? defaultRetention)
  })
  return new Date(Date.parse(finished) + Math.max(...retentions) * 1_000).toISOString()
}

/** Finished requests of the same agent that there is no room for any more: what an agent withdraws never takes a decision's place. */
function beyond(request: Standing, world: World): Request[] {
  const isDecided = ({ spec }: ApprovalRequest): boolean => (spec.votes ?? []).length > 0
  const decided = isDecided(request)
  const others = [...world.approvals.list()].filter(
    (other) => agentOf(other) === agentOf(request) && isFinished(other) && isDecided(other) === decided,
  )
  const excess = others.length - (decided ? kept.decided : kept.undecided)
  if (excess <= 0) return []
  return others.sort((a, b) => (a.spec.requestedAt < b.spec.requestedAt ? -1 : 1)).slice(0, excess)
}

/** In milliseconds. */
function until(moment: string | undefined, now: Date): number | undefined {
  return moment === undefined
    ? undefined
    : Math.min(Math.max(0, Date.parse(moment) - now.getTime()), longestWait)
}

function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}

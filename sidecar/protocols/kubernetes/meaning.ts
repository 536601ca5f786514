/** Requests to a Kubernetes API for the exchange over HTTP: what they do, and which have no one meaning. */
import type { Command } from '@firebreak/policy'
import type { Result } from '../../session.ts'
import { type Meaning, textOf } from '../http/analysis/meaning.ts'
import type { HttpRequest, RequestHead } from '../http/request.ts'
import { type Analysed, analyse, bodyNeeded } from './analysis/analyse.ts'
import type { Refused } from './analysis/refusal.ts'

/** A request is asked about several times on its way. */
const analysed = new WeakMap<HttpRequest, Result<Analysed, Refused>>()

export function analysisOf(request: HttpRequest): Result<Analysed, Refused> {
  let known = analysed.get(request)
  if (!known) {
    known = analyse(request)
    analysed.set(request, known)
  }
  return known
}

export const kubernetesMeaning: Meaning = {
  needs: (head: RequestHead) => bodyNeeded(head),
  commandOf: (request: HttpRequest): Command => {
    const known = analysisOf(request)
    return known.ok ? known.value.command : opaque(request, known.error)
  },
}

/** It is refused whatever policy says; but it has its line. */
function opaque(request: HttpRequest, { message }: Refused): Command {
  return {
    resourceType: 'kubernetes',
    text: textOf(request),
    touches: [],
    opaque: [message],
    fields: [],
    indirectUses: [],
    facts: {},
  }
}

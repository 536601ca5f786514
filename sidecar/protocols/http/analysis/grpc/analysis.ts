/** gRPC: what is called is an action, `grpc:shop.v1.Orders/Delete`. https://grpc.github.io/grpc/core/md_doc__p_r_o_t_o_c_o_l-_h_t_t_p2.html */
import type { Fact } from '@firebreak/policy'
import type { RequestAnalysis, RequestHead, Understanding } from '../../request.ts'
import { ServedPaths } from '../served-paths.ts'

/** A service with its package, and a method. */
export const grpcActions = ['grpc:*/*'] as const

/** What conditions see as `command.grpc.<name>`. */
export const grpcFacts = {
  service: 'with its package, `shop.v1.Orders`',
  method: 'of the service, `Delete`',
} as const

type GrpcFact = keyof typeof grpcFacts

export class GrpcAnalysis implements RequestAnalysis {
  readonly #paths: ServedPaths

  /** @param paths at and below which gRPC is served: `/shop.v1.Orders`, or `/` for all of a server. */
  constructor(paths: readonly string[]) {
    this.#paths = new ServedPaths(paths)
  }

  /** In whatever form it asks: some servers take JSON for a call, and some a GET, or names in other letters. */
  needs({ method, path }: RequestHead): number | undefined {
    return method !== 'OPTIONS' && this.#paths.has(path) ? 0 : undefined
  }

  understand({ path: { segments } }: RequestHead): Understanding {
    const [service = '', method = ''] = segments.slice(-2)
    const isCall = segments.length >= 2 && this.#paths.covers(segments) && segments.every(isName)
    if (!isCall)
      return { touches: [], opaque: ['the path names no method of gRPC'], indirectUses: [], facts: {} }
    const called = `grpc:${service}/${method}`
    const facts: Record<GrpcFact, Fact> = { service, method }
    return {
      touches: [
        {
          action: called,
          ...(folded(called) !== called && { also: [folded(called)] }),
          object: { kind: 'path', path: segments },
          origin: 'direct',
        },
      ],
      opaque: [],
      indirectUses: [],
      facts: { grpc: facts },
    }
  }
}

function folded(name: string): string {
  return name.toLowerCase()
}

/** As Protocol Buffers name things, and what a proxy may have put in front of them. */
function isName(segment: string): boolean {
  return /^[A-Za-z0-9_.-]+$/.test(segment)
}

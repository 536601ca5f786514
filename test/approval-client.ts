/** What a sidecar says to the operator about approvals, said by a test. */
import { createHash } from 'node:crypto'
import { type CallOptions, type Client, createClient, type Transport } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import type { ApprovalRequest } from '@firebreak/crds'
import { Approvals } from '@firebreak/xds'

export interface ApprovalClient {
  readonly client: Client<typeof Approvals>
  /** They prove the pod. */
  readonly options: CallOptions
}

/** @param port of the operator's streams. @param ca PEM of its authority. @param token bound to the pod. */
export function approvalClient(port: number, ca: string, token: string): ApprovalClient {
  return {
    client: createClient(Approvals, controlTransport(port, ca)),
    options: { headers: { authorization: `Bearer ${token}` } },
  }
}

/** The way to the operator. */
export function controlTransport(port: number, ca: string): Transport {
  return createGrpcTransport({ baseUrl: `https://127.0.0.1:${port}`, nodeOptions: { ca } })
}

type Spec = ApprovalRequest['spec']

let made = 0

/** A request as the sidecar of agents/support-bot makes it for a command that one rule holds. */
export function heldCommand(text: string, spec: Partial<Spec> = {}): ApprovalRequest {
  const now = Date.now()
  return {
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ApprovalRequest',
    metadata: { name: `support-bot-${String(++made).padStart(5, '0')}`, namespace: 'agents' },
    spec: {
      identity: 'support-bot',
      chain: [{ identity: 'agents/support-bot' }],
      resource: 'shop',
      role: 'agent',
      kind: 'command',
      command: {
        text,
        digest: createHash('sha256').update(text).digest('hex'),
        actions: ['sql:delete'],
        objects: ['table public.carts'],
      },
      requirements: [{ policy: 'agents/guard', rule: 'deletes-need-a-person', groups: ['dba'], quorum: 1 }],
      requestedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + 300_000).toISOString(),
      ...spec,
    },
    status: { state: 'Pending' },
  }
}

export function encoded(request: ApprovalRequest): Uint8Array {
  return Buffer.from(JSON.stringify(request))
}

export function decoded(request: Uint8Array): ApprovalRequest {
  return JSON.parse(Buffer.from(request).toString()) as ApprovalRequest
}

/** What an agent's sidecar is told by the configuration stream, by type and name. */
import { createHash } from 'node:crypto'
import {
  createRegistry,
  type DescMessage,
  fromJson,
  type JsonObject,
  type Message,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { ClusterSchema } from './generated/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from './generated/envoy/config/listener/v3/listener_pb.js'
import { StdoutAccessLogSchema } from './generated/envoy/extensions/access_loggers/stream/v3/stream_pb.js'
import { OriginalDstSchema } from './generated/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js'
import { TlsInspectorSchema } from './generated/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import { TcpProxySchema } from './generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { ProxyProtocolUpstreamTransportSchema } from './generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js'
import { RawBufferSchema } from './generated/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js'

/**
 * The types of resources, in the order in which they are sent: the enforcer knows a resource before Envoy sends it
 * connections, and Envoy knows a cluster before a listener refers to it.
 */
export const typeUrls = {
  agentConfiguration: 'type.googleapis.com/firebreak.v1alpha1.AgentConfiguration',
  cluster: `type.googleapis.com/${ClusterSchema.typeName}`,
  listener: `type.googleapis.com/${ListenerSchema.typeName}`,
} as const

export type PackedResource = Pick<Any, 'typeUrl' | 'value'>

export interface VersionedResource {
  readonly name: string
  /** Changes with the resource, and only then. */
  readonly version: string
  readonly packed: PackedResource
}

/** By name. */
export type Resources = ReadonlyMap<string, VersionedResource>

const registry = createRegistry(
  ClusterSchema,
  ListenerSchema,
  TcpProxySchema,
  OriginalDstSchema,
  TlsInspectorSchema,
  ProxyProtocolUpstreamTransportSchema,
  RawBufferSchema,
  StdoutAccessLogSchema,
)

/** @param json as Envoy's documentation writes it. @throws Error for a field that Envoy's API doesn't have. */
export function cluster(json: JsonObject & { readonly name: string }): VersionedResource {
  return packed(ClusterSchema, json)
}

/** @param json as Envoy's documentation writes it. @throws Error for a field that Envoy's API doesn't have. */
export function listener(json: JsonObject & { readonly name: string }): VersionedResource {
  return packed(ListenerSchema, json)
}

function packed<Desc extends DescMessage>(
  schema: Desc,
  json: JsonObject & { readonly name: string },
): VersionedResource {
  const message: MessageShape<Desc> & Message = fromJson(schema, json, { registry })
  const value = toBinary(schema, message)
  return {
    name: json.name,
    version: createHash('sha256').update(value).digest('hex').slice(0, 12),
    packed: { typeUrl: `type.googleapis.com/${schema.typeName}`, value },
  }
}

export function byName(resources: Iterable<VersionedResource>): Resources {
  return new Map([...resources].map((resource) => [resource.name, resource]))
}

/** One version for all of them. */
export function versionOf(resources: Iterable<VersionedResource>): string {
  const versions = [...resources].map(({ name, version }) => `${name} ${version}`)
  return createHash('sha256').update(versions.sort().join('\n')).digest('hex').slice(0, 12)
}

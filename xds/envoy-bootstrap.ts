/** What the Envoy of an agent's pod starts with: where it gets everything else. */
import { join } from 'node:path'
import { places } from './places.ts'

/** Of an agent that opens more at a time, the others wait. */
const maximumConnections = 4_096
/** How soon Envoy asks an enforcer again that wasn't there; by itself it would wait up to half a minute. */
const askAgain = { base_interval: '0.1s', max_interval: '2s' }

/** https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/bootstrap/v3/bootstrap.proto */
export function envoyBootstrap(runDirectory: string): object {
  const source = { resource_api_version: 'V3', ads: {} }
  const socket = (name: string) => ({ pipe: { path: join(runDirectory, name) } })
  return {
    node: { id: 'envoy', cluster: 'firebreak' },
    admin: { address: socket(places.adminSocket) },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [
          {
            envoy_grpc: {
              cluster_name: 'configuration',
              retry_policy: { retry_back_off: askAgain },
            },
          },
        ],
      },
      cds_config: source,
      lds_config: source,
    },
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            max_active_downstream_connections: maximumConnections,
          },
        },
      ],
    },
    static_resources: {
      clusters: [
        {
          name: 'configuration',
          type: 'STATIC',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'configuration',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(places.configurationSocket) } }] }],
          },
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        },
      ],
    },
  }
}

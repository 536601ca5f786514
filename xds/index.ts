export type { JsonObject } from '@bufbuild/protobuf'
export { envoyBootstrap } from './envoy-bootstrap.ts'
export { AggregatedDiscoveryService } from './generated/envoy/service/discovery/v3/ads_pb.js'
export {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from './generated/envoy/service/discovery/v3/discovery_pb.js'
export {
  Approvals,
  type FollowResponse,
  FollowResponseSchema,
} from './generated/firebreak/control/v1alpha1/approvals_pb.js'
export { Signals } from './generated/firebreak/control/v1alpha1/signals_pb.js'
export { grpcStreams, type Routes } from './grpc.ts'
export { places } from './places.ts'
export {
  byName,
  cluster,
  listener,
  type PackedResource,
  type Resources,
  typeUrls,
  type VersionedResource,
  versionOf,
} from './resources.ts'
export { type Admit, connectedAtHeader, discoveryService, type Peer } from './service.ts'
export { DeltaSubscription, StateOfTheWorldSubscription, type Verdict } from './subscription.ts'
export { Wake } from './wake.ts'

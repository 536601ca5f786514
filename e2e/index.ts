export { ApiClient } from './cluster/api-client.ts'
export type { Cluster } from './cluster/cluster.ts'
export {
  type ControlPlane,
  type ControlPlaneOptions,
  startControlPlane,
  type User,
} from './cluster/control-plane/start.ts'
export { buildDebianImage, type DebianImage } from './cluster/images/build.ts'
export { type ImageDescription, packLayer, writeImage } from './cluster/images/layout.ts'
export { debianImage, toolsImage } from './cluster/images/standard.ts'
export { Kubectl } from './cluster/kubectl.ts'
export { network } from './cluster/node/network.ts'
export type { TestCluster } from './providers/provider.ts'
export { describeOnCluster } from './suite.ts'

export { ApiClient } from './cluster/api-client.ts'
export {
  type ControlPlane,
  type ControlPlaneOptions,
  startControlPlane,
  type User,
} from './cluster/control-plane/start.ts'
export { Kubectl } from './cluster/kubectl.ts'

export {
  type DecisionInput,
  type DecisionResult,
  decideRequest,
  findRequest,
  listRequests,
} from './approvals/desk.ts'
export { grantsInWords } from './approvals/elevations.ts'
export { inTime } from './approvals/request.ts'
export { inWords, missingVotes } from './approvals/requirements.ts'
export { isFinished } from './approvals/store.ts'
export { type AuditTarget, defaultSpoolLimit } from './audit/target.ts'
export { type AuditProblem, type AuditTrail, inOrderOfTime, verifyTrail } from './audit/verify.ts'
export type { Clock } from './clock.ts'
export { type Configuration, loadConfiguration } from './configuration/configuration.ts'
export { ControlledSidecar } from './control/controlled.ts'
export type { ControlledEvent, ControlledOptions } from './control/options.ts'
export { type Explanation, explainCommand, explainRequest, explainSqlIn, readCatalogue } from './explain.ts'
export type { Address } from './listen/listener.ts'
export { httpTargetOf } from './listen/target.ts'
export type { Catalogue } from './protocols/postgresql/catalogue/types.ts'
export type { RecordingTarget } from './recording/target.ts'
export type * from './session.ts'
export type { StandaloneEvent, StandaloneOptions } from './standalone/options.ts'
export { ConfigurationError, Standalone } from './standalone/standalone.ts'
export type { TraceTarget } from './traces/target.ts'

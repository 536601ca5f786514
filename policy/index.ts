export * from './command.ts'
export { lookupsOf } from './condition.ts'
export type * from './decision.ts'
export * from './describe.ts'
export { detect, maskDetected } from './detection/detect.ts'
export { seconds } from './duration.ts'
export { type ElevationAsk, findOffer } from './elevation.ts'
export { mergeApprovals } from './holding.ts'
export { applyMask, keyedHash } from './masking/apply.ts'
export { compileGlob, exactName, globCovers, globsMeet, joinName, nameCovers, splitName } from './names.ts'
export type { RecordingTerms } from './recording.ts'
export {
  type SignalKind,
  type SignalRule,
  signalApprovalSeconds,
  signalKinds,
  signalRules,
} from './signals.ts'
export { type Compilation, compilePolicy, type PolicyProblem } from './snapshot.ts'

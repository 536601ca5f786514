export { type Operator, startOperator } from './operator.ts'
export type { OperatorLog, OperatorOptions } from './options.ts'
export { probeResource } from './reconcile/probe.ts'

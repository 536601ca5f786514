export { type Operator, type OperatorLog, type OperatorOptions, startOperator } from './operator.ts'
export { probeResource } from './reconcile/probe.ts'

export type * from './command.ts'
export type * from './decision.ts'

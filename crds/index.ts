export type * from './generated/types.ts'
export { type LoadedManifests, loadManifests } from './load.ts'
export type * from './manifest.ts'

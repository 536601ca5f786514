export type * from './session.ts'
export { loadConfiguration } from './configuration/configuration.ts'
export { type Address } from './listen/listener.ts'
export { ConfigurationError, Standalone, type StandaloneEvent, type StandaloneOptions } from './standalone.ts'

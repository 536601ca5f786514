export { postgresql } from './session/serve.ts'

/** What the audit trail has to know of commands' texts, protocol by protocol. */
import type { CommandLanguage } from '../audit/audit.ts'
import { mayHoldSecretParameter, normalizeRequest } from './http/analysis/normalize.ts'
import { mayHoldSecret, normalizeSql } from './postgresql/analysis/normalize.ts'

export const commandLanguage: CommandLanguage = {
  normalize: (text, { resourceType }) =>
    resourceType === 'http' ? normalizeRequest(text) : normalizeSql(text),
  mayHoldSecret: (command) =>
    command.resourceType === 'http' ? mayHoldSecretParameter(command) : mayHoldSecret(command),
}

/** What the audit trail has to know of commands' texts, protocol by protocol. */
import type { ResourceType } from '@firebreak/policy'
import type { CommandLanguage } from '../audit/described.ts'
import { mayHoldSecretParameter, normalizeRequest } from './http/analysis/normalize.ts'
import { mayHoldSecret, normalizeSql } from './postgresql/analysis/normalize.ts'

export const commandLanguage: CommandLanguage = {
  normalize: (text, { resourceType }) =>
    isAskedByRequests(resourceType) ? normalizeRequest(text) : normalizeSql(text),
  mayHoldSecret: (command) =>
    isAskedByRequests(command.resourceType) ? mayHoldSecretParameter(command) : mayHoldSecret(command),
}

/** Whether commands are requests of HTTP. */
export function isAskedByRequests(type: ResourceType): boolean {
  return type === 'http' || type === 'kubernetes'
}

/** Every action of the protocols that are spoken: what the rules of policies can be about. */
import { sqlActions } from './postgresql/analysis/actions.ts'

export const vocabulary: readonly string[] = Object.keys(sqlActions)

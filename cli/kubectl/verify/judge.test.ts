import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Login, Reached } from '../../probe/attempts.ts'
import type { Objection } from './check.ts'
import {
  objectionToAgent,
  objectionToConfined,
  objectionToLogin,
  objectionToStranger,
  type Seen,
  seenIn,
} from './judge.ts'

interface Case {
  readonly name: string
  readonly greeter?: string
  readonly database?: string
  readonly guarded?: readonly string[]
  readonly login?: Login
  readonly says?: string
  readonly outcome?: string
}

const greeter = { url: 'tcp://10.0.0.1:8080', host: '10.0.0.1', what: 'the greeter' }
const database = { url: 'postgresql://10.0.0.2:5432', host: '10.0.0.2', what: 'the database' }
const judges: Readonly<Record<string, (seen: Seen) => Objection | undefined>> = {
  stranger: (seen) => objectionToStranger([greeter], [database], seen),
  confined: (seen) => objectionToConfined([greeter], seen),
  agent: (seen) => objectionToAgent([greeter, database], seen),
  login: (seen) => objectionToLogin(0, seen),
}
const file = new URL('testdata/rounds.yaml', import.meta.url)
const cases = parse(readFileSync(file, 'utf8')) as Readonly<Record<string, readonly Case[]>>

const reachedAs = (kind: string | undefined): Reached =>
  kind === undefined || kind === 'unreached'
    ? { kind: 'unreached', why: 'no answer' }
    : { kind: kind as 'answered' | 'silent' | 'closed' }

describe('verify', () => {
  for (const [probe, rounds] of Object.entries(cases))
    for (const { name, login, guarded = [], says, outcome, ...kinds } of rounds)
      it(`judges what the ${probe} sees: ${name}`, () => {
        const round = {
          round: 1,
          reached: [reachedAs(kinds.greeter), reachedAs(kinds.database)],
          logins: login ? [login] : [],
          resolved: [guarded],
        }
        const objection = judges[probe]?.(seenIn(round, [greeter, database]))
        if (says === undefined) return assert.equal(objection, undefined)
        assert.ok(objection?.message.includes(says), objection?.message)
        assert.equal(objection?.outcome, outcome)
      })
})

/** Which functions of pg_catalog can fail on a value. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

/** What has to hold of a call so that it can't fail. Arguments are counted from 1. */
export type Requirement =
  | { readonly kind: 'oneOf'; readonly argument: number; readonly words: ReadonlySet<string> }
  | { readonly kind: 'notZero'; readonly argument: number }
  | { readonly kind: 'notLonger'; readonly argument: number; readonly than: number }
  | { readonly kind: 'keysAreConstant' }
  /** No value of type json is among the arguments. */
  | { readonly kind: 'noJson' }

interface Table {
  readonly always: string
  readonly unlessJson: string
  readonly oneOf: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly notZero: Readonly<Record<string, number>>
  readonly notLonger: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly keysAreConstant: string
  readonly enlarging: string
}

const table = parse(readFileSync(new URL('total-functions.yaml', import.meta.url), 'utf8')) as Table

/** By name, or by name and types: `sum(int4)`. */
export const totalFunctions: ReadonlyMap<string, readonly Requirement[]> = requirements()

const enlarging: ReadonlySet<string> = new Set(words(table.enlarging))

/** Whether a function makes results as long as one likes. */
export function enlarges(name: string): boolean {
  return enlarging.has(name)
}

function words(text: string): string[] {
  return text.trim().split(/\s+/)
}

function requirements(): Map<string, readonly Requirement[]> {
  return new Map<string, readonly Requirement[]>([
    ...words(table.always).map((name) => [name, []] as const),
    ...words(table.unlessJson).map((name) => [name, [{ kind: 'noJson' }]] as const),
    ...words(table.keysAreConstant).map((name) => [name, [{ kind: 'keysAreConstant' }]] as const),
    ...Object.entries(table.oneOf).map(
      ([name, allowed]) =>
        [
          name,
          Object.entries(allowed).map(
            ([argument, text]) =>
              ({ kind: 'oneOf', argument: Number(argument), words: new Set(words(text)) }) as const,
          ),
        ] as const,
    ),
    ...Object.entries(table.notZero).map(
      ([name, argument]) => [name, [{ kind: 'notZero', argument }]] as const,
    ),
    ...Object.entries(table.notLonger).map(
      ([name, pairs]) =>
        [
          name,
          Object.entries(pairs).map(
            ([argument, than]) => ({ kind: 'notLonger', argument: Number(argument), than }) as const,
          ),
        ] as const,
    ),
  ])
}

/** @returns undefined when the function can fail whatever the call looks like, or nobody has looked at it. */
export function totality(name: string, types: readonly string[]): readonly Requirement[] | undefined {
  return totalFunctions.get(name) ?? totalFunctions.get(`${name}(${types.join(',')})`)
}

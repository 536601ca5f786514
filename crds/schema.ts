/** The CRD manifests as data: the source that types, validators and the reference are generated from. */
import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'

/** The part of a structural schema (`apiextensions.k8s.io/v1` JSONSchemaProps) that our CRDs use. */
export interface Schema {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly maxProperties?: number
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular'
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[]
}

/** One CEL rule; `self` is the value it stands on, `oldSelf` the value before an update. */
export interface ValidationRule {
  readonly rule: string
  readonly message: string
  readonly fieldPath?: string
}

export interface Definition {
  readonly kind: string
  readonly apiVersion: string
  readonly shortNames: readonly string[]
  readonly schema: Schema
}

interface Manifest {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string; readonly shortNames: readonly string[] }
    readonly versions: readonly {
      readonly name: string
      readonly schema: { readonly openAPIV3Schema: Schema }
    }[]
  }
}

/** Reads every CRD in this folder, sorted by kind. */
export function readDefinitions(): Definition[] {
  const folder = new URL('./', import.meta.url)
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .flatMap((name) => {
      const manifest = parse(readFileSync(new URL(name, folder), 'utf8')) as Manifest
      return manifest.spec.versions.map((version) => ({
        kind: manifest.spec.names.kind,
        apiVersion: `${manifest.spec.group}/${version.name}`,
        shortNames: manifest.spec.names.shortNames,
        schema: version.schema.openAPIV3Schema,
      }))
    })
    .sort((a, b) => a.kind.localeCompare(b.kind))
}

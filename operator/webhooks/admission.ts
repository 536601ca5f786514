/** What the API server asks and is told. https://kubernetes.io/docs/reference/config-api/apiserver-admission.v1/ */

export interface AdmissionRequest {
  readonly uid: string
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string }
  readonly resource: { readonly group: string; readonly version: string; readonly resource: string }
  readonly subResource?: string
  readonly namespace?: string
  readonly name?: string
  readonly userInfo: UserInfo
  readonly object?: unknown
  readonly oldObject?: unknown
  readonly dryRun?: boolean
}

export interface UserInfo {
  readonly username: string
  readonly uid?: string
  readonly groups?: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

export type Admission =
  | {
      readonly allowed: true
      readonly warnings?: readonly string[]
      readonly patch?: readonly PatchOperation[]
    }
  | { readonly allowed: false; readonly message: string }

/** RFC 6902. */
export interface PatchOperation {
  readonly op: 'add' | 'replace'
  readonly path: string
  readonly value: unknown
}

export type Review = (request: AdmissionRequest) => Admission | Promise<Admission>

export const allowed: Admission = { allowed: true }

export function refused(message: string): Admission {
  return { allowed: false, message }
}

/** The body of the answer. */
export function reviewResponse({ uid }: AdmissionRequest, admission: Admission): unknown {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: admission.allowed,
      ...(!admission.allowed && { status: { code: 403, reason: 'Forbidden', message: admission.message } }),
      ...(admission.allowed && admission.warnings?.length && { warnings: admission.warnings }),
      ...(admission.allowed &&
        admission.patch && {
          patchType: 'JSONPatch',
          patch: Buffer.from(JSON.stringify(admission.patch)).toString('base64'),
        }),
    },
  }
}

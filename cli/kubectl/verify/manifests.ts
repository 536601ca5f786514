/** The pods that verify makes for a moment. */
import { labels } from '@firebreak/operator/containment/names.ts'
import { layout } from '@firebreak/operator/injection/layout.ts'
import { ownerOf, type pods } from '@firebreak/operator/kubernetes/objects.ts'
import type { V1LabelSelector } from '@kubernetes/client-node'

export type Pod = (typeof pods)['object']

/** On all of them; its value is one run's. */
export const verifyLabel = 'firebreak.dev/verify'
export const container = 'probe'

export interface PodDescription {
  readonly namespace: string
  readonly name: string
  readonly run: string
  /** With it the pods go, should nobody be left to delete them. */
  readonly owner: Parameters<typeof ownerOf>[0]
  readonly image: string
  readonly args: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly serviceAccount?: string | undefined
}

/** Seconds after which the kubelet ends it, whatever has become of whoever made it. */
const longestLife = 900

export function probePod({ namespace, name, run, owner, image, args, ...more }: PodDescription): Pod {
  return {
    metadata: {
      namespace,
      name,
      labels: { ...more.labels, [verifyLabel]: run },
      // a controller keeps others from adopting it, where its labels are those of an agent's pods
      ownerReferences: [{ ...ownerOf(owner), blockOwnerDeletion: false }],
    },
    spec: {
      ...(more.serviceAccount !== undefined && { serviceAccountName: more.serviceAccount }),
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      restartPolicy: 'Never',
      activeDeadlineSeconds: longestLife,
      terminationGracePeriodSeconds: 1,
      // nobody sets it: a Service that selects the agent's pods doesn't take this one for one of them
      readinessGates: [{ conditionType: verifyLabel }],
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: container,
          image,
          imagePullPolicy: 'IfNotPresent',
          args: ['probe', ...args],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '500m', memory: '192Mi' } },
        },
      ],
    },
  }
}

/** The enforcer's image, as admission puts it into an agent's pod; undefined when it puts none. */
export function injectedImage({ metadata, spec }: Pod): string | undefined {
  if (metadata.labels?.[labels.agent] === undefined) return undefined
  return spec?.initContainers?.find(({ name }) => name === layout.enforcerContainer)?.image
}

/** Labels by which a selector selects. */
export function labelsFor({
  matchLabels = {},
  matchExpressions = [],
}: V1LabelSelector): Record<string, string> {
  const wanted = matchExpressions.flatMap(({ key, operator, values = [] }): [string, string][] => {
    if (operator === 'In') return [[key, values[0] ?? '']]
    return operator === 'Exists' ? [[key, 'firebreak-verify']] : []
  })
  return { ...Object.fromEntries(wanted), ...matchLabels }
}

/** What the API server is told to ask about, and where not: an operator that is down must not lock anybody out of the cluster. */
import type { V1MutatingWebhook, V1RuleWithOperations, V1ValidatingWebhook } from '@kubernetes/client-node'
import { agentsLabel, annotations, labels, managed } from '../containment/names.ts'
import type { mutatingWebhooks, validatingWebhooks } from '../kubernetes/objects.ts'

export const paths = {
  inject: '/inject',
  pods: '/pods',
  podUpdates: '/pod-updates',
  entry: '/entry',
  agents: '/agents',
  kinds: '/kinds',
  generated: '/generated',
  decisions: '/decisions',
  approvals: '/approvals',
  namespaces: '/namespaces',
} as const

export interface WebhookTarget {
  readonly caBundle: string
  /** Where the API server reaches the operator: its Service, or a URL where it runs outside of the cluster. */
  readonly service?: { readonly namespace: string; readonly name: string; readonly port: number }
  readonly url?: string
}

/** @param operatorUser who is not asked about approval requests: what it writes doesn't wait for itself. */
export function webhookConfigurations(
  target: WebhookTarget,
  operatorUser: string,
): {
  mutating: (typeof mutatingWebhooks)['object']
  validating: (typeof validatingWebhooks)['object']
} {
  const clientConfig = (path: string) => ({
    caBundle: Buffer.from(target.caBundle).toString('base64'),
    ...(target.service ? { service: { ...target.service, path } } : { url: `${target.url}${path}` }),
  })
  const common = { admissionReviewVersions: ['v1'], failurePolicy: 'Fail', matchPolicy: 'Equivalent' }
  const inAgentNamespaces = { namespaceSelector: { matchLabels: { [agentsLabel]: 'true' } } }
  const validating = (
    name: string,
    path: string,
    rules: V1RuleWithOperations[],
    more: Partial<V1ValidatingWebhook> = {},
  ): V1ValidatingWebhook => ({
    ...common,
    name: `${name}.firebreak.dev`,
    clientConfig: clientConfig(path),
    sideEffects: 'None',
    timeoutSeconds: 10,
    rules,
    ...more,
  })
  const mutating = (
    name: string,
    path: string,
    rules: V1RuleWithOperations[],
    more: Partial<V1MutatingWebhook> = {},
  ): V1MutatingWebhook => ({
    ...common,
    name: `${name}.firebreak.dev`,
    clientConfig: clientConfig(path),
    sideEffects: 'None',
    timeoutSeconds: 10,
    reinvocationPolicy: 'Never',
    rules,
    ...more,
  })
  const byOthers = {
    name: 'by-others',
    expression: `request.userInfo.username != ${JSON.stringify(operatorUser)}`,
  }
  return {
    mutating: {
      metadata: { name: 'firebreak', labels: managed },
      webhooks: [
        mutating('inject', paths.inject, [rule('', ['pods'], ['CREATE'])], inAgentNamespaces),
        mutating('decisions', paths.decisions, [rule('firebreak.dev', ['approvalrequests'], ['UPDATE'])], {
          matchConditions: [byOthers, changesSpec],
        }),
      ],
    },
    validating: {
      metadata: { name: 'firebreak', labels: managed },
      webhooks: [
        validating('pods', paths.pods, [rule('', ['pods'], ['CREATE'])], inAgentNamespaces),
        validating(
          'pod-updates',
          paths.podUpdates,
          [rule('', ['pods', 'pods/status', 'pods/ephemeralcontainers'], ['UPDATE'])],
          {
            ...inAgentNamespaces,
            objectSelector: { matchExpressions: [{ key: labels.agent, operator: 'Exists' }] },
            // decided by the API server itself: kubelets and controllers go on while nobody is there to ask
            matchConditions: [
              {
                name: 'matters',
                expression: [
                  "has(request.subResource) && request.subResource == 'ephemeralcontainers'",
                  changes('labels', labels.agent),
                  ...Object.values(annotations).map((annotation) => changes('annotations', annotation)),
                ].join(' || '),
              },
            ],
          },
        ),
        validating(
          'entry',
          paths.entry,
          [rule('', ['pods/exec', 'pods/attach', 'pods/portforward'], ['CONNECT'])],
          inAgentNamespaces,
        ),
        validating('kinds', paths.kinds, [
          rule(
            'firebreak.dev',
            ['agentidentities', 'guardrailpolicies', 'protectedresources'],
            ['CREATE', 'UPDATE'],
          ),
        ]),
        validating(
          'agents',
          paths.agents,
          [
            rule('', ['pods'], ['CREATE']),
            rule(
              'firebreak.dev',
              ['agentidentities', 'guardrailpolicies', 'protectedresources'],
              ['CREATE', 'UPDATE', 'DELETE'],
            ),
            // what people read there, such as that it was verified, is not for agents to say
            rule(
              'firebreak.dev',
              ['agentidentities/status', 'guardrailpolicies/status', 'protectedresources/status'],
              ['UPDATE'],
            ),
            rule('networking.k8s.io', ['networkpolicies'], ['CREATE', 'UPDATE', 'DELETE']),
          ],
          {
            ...inAgentNamespaces,
            // people and the cluster's own controllers go on while nobody is there to ask
            matchConditions: [{ name: 'account', expression: isAccountOutsideOf('kube-system') }, byOthers],
          },
        ),
        validating(
          'namespaces',
          paths.namespaces,
          [{ ...rule('', ['namespaces'], ['UPDATE']), scope: 'Cluster' }],
          { matchConditions: [{ name: 'leaves', expression: changes('labels', agentsLabel) }] },
        ),
        validating(
          'approval-requests',
          paths.approvals,
          [
            rule('firebreak.dev', ['approvalrequests'], ['CREATE']),
            rule('firebreak.dev', ['approvalrequests/status'], ['UPDATE']),
          ],
          { matchConditions: [byOthers] },
        ),
        validating('approvals', paths.approvals, [rule('firebreak.dev', ['approvalrequests'], ['UPDATE'])], {
          matchConditions: [byOthers, changesSpec],
        }),
        validating(
          'generated',
          paths.generated,
          [rule('networking.k8s.io', ['networkpolicies'], ['CREATE', 'UPDATE', 'DELETE'])],
          { objectSelector: { matchLabels: managed } },
        ),
      ],
    },
  }
}

/** CEL: whether a service account asks, other than of a namespace. */
function isAccountOutsideOf(namespace: string): string {
  const begins = (text: string): string =>
    `request.userInfo.username.startsWith('system:serviceaccount:${text}')`
  return `${begins('')} && !${begins(`${namespace}:`)}`
}

/** Labels and finalizers of requests are changed by whom RBAC lets, whether anybody is there to ask or not. */
const changesSpec = {
  name: 'changes-spec',
  expression: '!has(object.spec) || object.spec != oldObject.spec',
}

/** CEL: whether an update changes a label or an annotation. */
function changes(map: 'labels' | 'annotations', key: string): string {
  const valueIn = (object: string): string => `${object}.metadata.?${map}[?'${key}'].orValue('')`
  return `${valueIn('object')} != ${valueIn('oldObject')}`
}

function rule(group: string, resources: string[], operations: string[]): V1RuleWithOperations {
  return { apiGroups: [group], apiVersions: ['*'], resources, operations, scope: 'Namespaced' }
}

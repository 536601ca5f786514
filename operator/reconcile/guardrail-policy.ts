/** GuardrailPolicy: is it valid, and to whom does it apply? */
import type { GuardrailPolicy, GuardrailPolicyStatus } from '@firebreak/crds'
import { inWords, type NamespaceCompiler, type Objects } from '../compile/namespace.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { guardrailPolicies } from '../kubernetes/objects.ts'
import type { RecordTargets } from '../records/records.ts'
import { keysIn, type World } from '../watch/world.ts'
import { conditionsFor, type Finding } from './conditions.ts'
import { type Controller, watchingSpec } from './controller.ts'
import type { Recorder } from './event-recorder.ts'
import { writeStatus } from './status.ts'

/** @param place for recordings, if there is one. */
export function guardrailPolicyController(
  world: World,
  compiler: NamespaceCompiler,
  client: KubernetesClient,
  recorder: Recorder,
  place: RecordTargets['recordings'],
): Controller {
  return {
    name: 'GuardrailPolicy',
    watches: [
      watchingSpec(world.policies),
      watchingSpec(world.identities, ({ metadata }) => keysIn(world.policies, metadata.namespace)),
      watchingSpec(world.resources, ({ metadata }) => keysIn(world.policies, metadata.namespace)),
    ],
    async reconcile(key) {
      const policy = world.policies.get(key)
      if (!policy) return undefined
      const { namespace, name, generation } = policy.metadata
      const objects = world.objectsOf(namespace)
      const { problems, missing } = compiler.compile(objects)
      const own = problems.get(name)
      const { appliesTo, rules = [] } = policy.spec
      const valid: Finding = own
        ? {
            type: 'Valid',
            status: 'False',
            reason: 'InvalidRule',
            message: `${inWords(own)}; ${
              missing.some(({ metadata }) => metadata.name === name)
                ? 'no version of it was ever valid, so the agents it may apply to get no new configuration'
                : 'the last valid version stays in force'
            }`,
          }
        : {
            type: 'Valid',
            status: 'True',
            reason: 'Compiled',
            message: `${rules.length} rules were compiled`,
          }
      const status: GuardrailPolicyStatus = {
        ...(generation !== undefined && { observedGeneration: generation }),
        rules: rules.length,
        // an identity in a group of its token is not known here
        identities: objects.identities.filter(
          (identity) =>
            (appliesTo.identities?.includes(identity.metadata.name) ?? true) &&
            (appliesTo.groups?.some((group) => identity.spec.groups?.includes(group)) ?? true),
        ).length,
        conditions: conditionsFor(
          [valid, targets(policy, objects), ...recording(policy, place)],
          generation,
          policy.status?.conditions,
          new Date().toISOString(),
        ),
      }
      await writeStatus(client, recorder, guardrailPolicies, policy, status)
      return undefined
    },
  }
}

/** A policy may come before what it is about: it waits for that, and is in force for everything else. */
function targets({ spec: { appliesTo } }: GuardrailPolicy, { identities, resources }: Objects): Finding {
  const missing = [
    ...absent('AgentIdentity', appliesTo.identities, identities),
    ...absent('ProtectedResource', appliesTo.resources, resources),
  ]
  const type = 'TargetsFound'
  return missing.length === 0
    ? { type, status: 'True', reason: 'Found', message: 'all that it names is there' }
    : {
        type,
        status: 'False',
        reason: 'NotFound',
        message: `waits for ${missing.join(', ')}: there is none in this namespace`,
      }
}

/** Of a policy that wants sessions recorded: whether they can be. */
function recording(
  { spec: { recording: wanted } }: GuardrailPolicy,
  place: RecordTargets['recordings'],
): Finding[] {
  if (wanted === undefined || wanted.mode === 'off') return []
  const type = 'RecordingPossible'
  const readable = !wanted.unmasked || place?.unmaskedRecipients.length !== 0
  if (place && readable)
    return [{ type, status: 'True', reason: 'Place', message: 'there is a place for recordings' }]
  const consequence = wanted.onFailure === 'continue' ? 'go on without a recording' : 'are refused'
  return [
    {
      type,
      status: 'False',
      ...(place
        ? {
            reason: 'NobodyForUnmasked',
            message: `the operator names nobody who may see what masks hid (recordings.unmaskedKeys of its chart), so sessions that it applies to ${consequence}`,
          }
        : {
            reason: 'NoPlace',
            message: `the operator has no place for recordings (recordings.place of its chart), so sessions that it applies to ${consequence}`,
          }),
    },
  ]
}

function absent(
  kind: string,
  names: readonly string[] = [],
  there: readonly { readonly metadata: { readonly name: string } }[],
): string[] {
  return names
    .filter((name) => !there.some(({ metadata }) => metadata.name === name))
    .map((name) => `${kind} ${name}`)
}

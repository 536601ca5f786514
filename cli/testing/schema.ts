/** The form of a file of policy tests. */
import type { RequestSchema } from '@firebreak/crds'

const name = (description: string): RequestSchema => ({
  type: 'string',
  description,
  minLength: 1,
  maxLength: 253,
})

const names = (description: string): RequestSchema => ({
  type: 'array',
  description,
  'x-kubernetes-list-type': 'set',
  items: { type: 'string', minLength: 1, maxLength: 256 },
})

const groups = names('Groups that its token proves, besides its own.')

const scope: RequestSchema = {
  type: 'object',
  description: 'What was passed on, where that is less than all.',
  properties: {
    resources: names('Names of resources.'),
    roles: names('Names of roles.'),
    actions: names('Actions, as sql:select.'),
    objects: names('Objects, as public.orders.'),
  },
}

const given: RequestSchema = {
  type: 'object',
  description: 'Who asks for what.',
  properties: {
    namespace: name('Namespace of the identity and the resource.'),
    identity: name('Name of the AgentIdentity.'),
    groups,
    resource: name('Name of the ProtectedResource.'),
    role: name('Role of the resource.'),
    chain: {
      type: 'array',
      description: 'Those on whose behalf the identity acts, the first one first.',
      items: {
        type: 'object',
        required: ['identity'],
        properties: { identity: name('Name of the AgentIdentity.'), groups, scope },
      },
    },
    scope,
    elevations: names('Names of elevations that are open.'),
    searchPath: names('Schemas in which names are looked up.'),
  },
}

export const schema: RequestSchema = {
  type: 'object',
  required: ['apiVersion', 'kind', 'tests'],
  properties: {
    apiVersion: { type: 'string', enum: ['firebreak.dev/v1alpha1'] },
    kind: { type: 'string', enum: ['PolicyTest'] },
    manifests: {
      type: 'string',
      description: 'The directory of the manifests, from this file.',
      minLength: 1,
      default: '..',
    },
    schemas: {
      type: 'object',
      description: 'What is in the databases, by the name of the resource.',
      default: {},
      additionalProperties: {
        type: 'object',
        properties: {
          file: { type: 'string', description: 'A file of SQL, from this file.', minLength: 1 },
          sql: { type: 'string', description: 'SQL.' },
        },
        'x-kubernetes-validations': [
          { rule: 'has(self.file) != has(self.sql)', message: 'one of file and sql must be set' },
        ],
      },
    },
    given: { ...given, default: {} },
    tests: {
      type: 'array',
      minItems: 1,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: {
        type: 'object',
        required: ['name', 'command', 'expect'],
        properties: {
          name: name('What it shows, in a sentence.'),
          given: { ...given, default: {} },
          command: { type: 'string', description: 'What is sent to the resource.', minLength: 1 },
          expect: {
            type: 'object',
            required: ['decision'],
            properties: {
              decision: { type: 'string', enum: ['allow', 'deny', 'hold'] },
              rule: name('The rule that decides, as rule or policy/rule.'),
              masks: {
                type: 'object',
                description: 'The columns of the answer that are masked, all of them, and how.',
                additionalProperties: {
                  type: 'string',
                  enum: ['redact', 'partial', 'hash', 'null', 'format'],
                },
              },
              message: { type: 'string', description: 'The message of the rule.' },
            },
          },
        },
      },
    },
  },
}

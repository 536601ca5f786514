// Generated from the CRDs by `node crds/generate.ts`. Do not edit.

/** The part of Kubernetes' object metadata that Firebreak looks at. */
export interface ObjectMeta {
  name: string
  namespace: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  generation?: number
  resourceVersion?: string
  uid?: string
}

/** Who an agent is, how it proves it, and what it may reach. */
export interface AgentIdentity {
  apiVersion: 'firebreak.dev/v1alpha1'
  kind: 'AgentIdentity'
  metadata: ObjectMeta
  spec: AgentIdentitySpec
  status?: AgentIdentityStatus
}

/** The identity and its bounds. */
export interface AgentIdentitySpec {
  /** The pods that are this agent. */
  workload?: {
    /** Selects by labels; all that is given must match. */
    podSelector?: {
      /** Labels and their values. */
      matchLabels?: Record<string, string>
      /** Label requirements. */
      matchExpressions?: ({
        /** The label. */
        key: string
        /** How values are compared. */
        operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
        /** The values of In and NotIn. */
        values?: string[]
      })[]
    }
    /** Service accounts that the pods run as. */
    serviceAccounts?: string[]
  }
  /** How the agent proves who it is. */
  authentication: {
    /** By a projected service account token. */
    kubernetes?: {
      /** The audience that the token must have. */
      audience: string
      /** Issuer URL of the cluster's tokens. Absent means the cluster that the operator runs in. */
      issuer?: string
      /** How long after it was issued a token is accepted, even if it says that it is good for longer. */
      maxTokenAge: string
      /** Revokes all tokens issued before this time, and ends their sessions. */
      issuedAfter?: string
      /** Authorities that the issuer's certificate is verified with. Absent means those of the system. */
      ca?: {
        /** A key of a Secret in the same namespace. */
        secret?: {
          /** Name of the Secret. */
          name: string
          /** Key in its data. */
          key: string
        }
        /** A file that the sidecar can read. */
        file?: {
          /** Path of the file, relative to the manifest's directory. */
          path: string
        }
        /** A variable of the sidecar's environment. */
        env?: {
          /** Name of the variable. */
          name: string
        }
      }
    }
    /** By a token of an OpenID provider. */
    oidc?: {
      /** Issuer URL; its discovery document names the keys. Plain http only on this host. */
      issuer: string
      /** The audience that the token must have. */
      audience: string
      /** The subject that the token must have. */
      subject?: string
      /** The claim that holds the groups; a dot leads into it, as in realm_access.roles. */
      groupsClaim: string
      /** Further claims that the token must have. */
      claims?: Record<string, string>
      /** How long after it was issued a token is accepted, even if it says that it is good for longer. */
      maxTokenAge: string
      /** Revokes all tokens issued before this time, and ends their sessions. */
      issuedAfter?: string
      /** Authorities that the issuer's certificate is verified with. Absent means those of the system. */
      ca?: {
        /** A key of a Secret in the same namespace. */
        secret?: {
          /** Name of the Secret. */
          name: string
          /** Key in its data. */
          key: string
        }
        /** A file that the sidecar can read. */
        file?: {
          /** Path of the file, relative to the manifest's directory. */
          path: string
        }
        /** A variable of the sidecar's environment. */
        env?: {
          /** Name of the variable. */
          name: string
        }
      }
      /** The sidecar gets the token itself and keeps it fresh, for agents that can present none. Whoever reaches its loopback listener is then this agent. */
      obtain?: {
        /** clientCredentials: with the secret of the client. tokenExchange: a token for another token, as a projected one (RFC 8693). */
        grant: 'clientCredentials' | 'tokenExchange'
        /** The client at the provider. */
        clientId: string
        /** The client's secret. */
        clientSecret?: {
          /** A key of a Secret in the same namespace. */
          secret?: {
            /** Name of the Secret. */
            name: string
            /** Key in its data. */
            key: string
          }
          /** A file that the sidecar can read. */
          file?: {
            /** Path of the file, relative to the manifest's directory. */
            path: string
          }
          /** A variable of the sidecar's environment. */
          env?: {
            /** Name of the variable. */
            name: string
          }
        }
        /** The token to exchange. */
        subjectToken?: {
          /** A key of a Secret in the same namespace. */
          secret?: {
            /** Name of the Secret. */
            name: string
            /** Key in its data. */
            key: string
          }
          /** A file that the sidecar can read. */
          file?: {
            /** Path of the file, relative to the manifest's directory. */
            path: string
          }
          /** A variable of the sidecar's environment. */
          env?: {
            /** Name of the variable. */
            name: string
          }
        }
        /** Scopes to ask for. */
        scopes?: string[]
        /** Further parameters of the token request, as resource or audience, where the provider asks for them. */
        parameters?: Record<string, string>
      }
    }
    /** By a fixed token (standalone). */
    token?: {
      /** A key of a Secret in the same namespace. */
      secret?: {
        /** Name of the Secret. */
        name: string
        /** Key in its data. */
        key: string
      }
      /** A file that the sidecar can read. */
      file?: {
        /** Path of the file, relative to the manifest's directory. */
        path: string
      }
      /** A variable of the sidecar's environment. */
      env?: {
        /** Name of the variable. */
        name: string
      }
    }
    /** Whoever reaches the loopback listener is this agent (standalone). */
    loopback?: Record<string, never>
  }
  /** Groups that policies can name. With oidc the token's groups are added. */
  groups?: string[]
  /** The resources and roles that the agent may use. Nothing else is reachable. */
  access?: ({
    /** Name of a ProtectedResource in the same namespace. */
    resource: string
    /** Its roles; the first is the default. */
    roles: string[]
    /** Roles that need a group, the identity's own or one that its token proves. Others need none. */
    roleGroups?: ({
      /** One of the roles. */
      role: string
      /** One of them is enough. */
      groups: string[]
    })[]
  })[]
  /** How long a session may live. */
  session: {
    /** From its start, whatever happens. */
    maxDuration: string
    /** Without a command. */
    idleTimeout: string
  }
  /** Whom the agent may act through. Absent means nobody. */
  delegation?: {
    /** How many links may follow this one. */
    maxDepth: number
    /** Identities that may be delegated to. Absent means any of this namespace. */
    to?: string[]
  }
  /** Plain destinations that are open besides, as a model provider. */
  egress?: ({
    /** Host name, known by the TLS server name. */
    host?: string
    /** Address range, as 10.2.0.0/16. */
    cidr?: string
    /** TCP port. */
    port: number
  })[]
  /** Ends the agent's sessions and opens no new ones while true. */
  suspend: boolean
}

/** What the operator saw. */
export interface AgentIdentityStatus {
  /** The generation that the status is about. */
  observedGeneration?: number
  /** Pods that match. */
  pods?: number
  /** Pods whose sidecar is ready with the revision in force. */
  containedPods?: number
  /** Pods whose sidecars are older than those that a new pod gets. */
  outdatedPods?: number
  /** Policies that apply. */
  policies?: number
  /** Policy revision in force. */
  revision?: string
  /** Standard conditions; Ready sums them up. */
  conditions?: ({
    /** Name of the condition. */
    type: string
    /** Whether it holds. */
    status: 'True' | 'False' | 'Unknown'
    /** The generation that it is about. */
    observedGeneration?: number
    /** When status last changed. */
    lastTransitionTime: string
    /** Why, in one word. */
    reason: string
    /** Why, for a person. */
    message: string
  })[]
}

/** A command or a window of time that waits for a person to agree. Made by Firebreak, never by an agent. */
export interface ApprovalRequest {
  apiVersion: 'firebreak.dev/v1alpha1'
  kind: 'ApprovalRequest'
  metadata: ObjectMeta
  spec: ApprovalRequestSpec
  status?: ApprovalRequestStatus
}

/** What is asked. Immutable but for the decision and its reason. */
export interface ApprovalRequestSpec {
  /** Name of the AgentIdentity that asks. */
  identity: string
  /** The delegation chain from the first delegator to the identity. */
  chain: ({
    /** namespace/name of the link. */
    identity: string
    /** Groups that were proven for it. */
    groups?: string[]
  })[]
  /** Name of the ProtectedResource; * of a resumption, which is about all. */
  resource: string
  /** Role of the session; * of a resumption. */
  role: string
  /** Session that the approval is bound to, where the policy binds it. */
  session?: string
  /** Name of the pod whose sidecar asks; absent outside of clusters. */
  pod?: string
  /** command: this command, once. elevation: more rights for a while. resumption: what was taken from the identity because of a signal is given back. */
  kind: 'command' | 'elevation' | 'resumption'
  /** The command that waits. */
  command?: {
    /** Exactly as sent. */
    text: string
    /** Values that stand for $1, $2 … in the text. An approval is bound to them. */
    parameters?: string[]
    /** What else the text depends on, as database orders and search_path public. An approval is bound to it. */
    context?: string[]
    /** SHA-256 of the exact bytes of text, parameters and context, in hex. */
    digest: string
    /** What it does. */
    actions: string[]
    /** What it does it to. */
    objects: string[]
    /** How much it would change, as ~1204 rows. */
    estimatedEffect?: string
  }
  /** The rights that are asked for. */
  elevation?: {
    /** A further role. */
    role?: string
    /** Actions that are allowed meanwhile. */
    actions?: string[]
    /** What the actions are allowed on. Absent means everything. */
    objects?: string[]
    /** Granted at once for an emergency. */
    breakGlass: boolean
    /** How long from the approval on. */
    duration: string
  }
  /** What was taken from the identity, and why. */
  resumption?: {
    /** suspend: it has no sessions. requireApproval: its commands are held for approval. */
    action: 'suspend' | 'requireApproval'
    /** Kind of the signal. */
    signal: string
    /** What was seen. */
    explanation: string
    /** References of the audit lines that it was seen in. */
    evidence?: string[]
    /** User of the system that the agent ran as, which can't resume it. */
    agentUser?: string
  }
  /** The agent's own words. */
  justification?: string
  /** Who has to agree; every rule that asks must be satisfied. */
  requirements: ({
    /** namespace/name of the policy. */
    policy: string
    /** Its rule, or its elevation. */
    rule: string
    /** Groups of which an approver must have one. */
    groups?: string[]
    /** How many must agree. */
    quorum: number
  })[]
  /** When it was asked. */
  requestedAt: string
  /** When it lapses. */
  expiresAt?: string
  /** Set by an approver, with the reason. Where more have to agree it is taken for a vote, and stands once all have. */
  decision?: 'Approved' | 'Denied'
  /** The approver's reason. */
  reason?: string
  /** Who has decided what, in a cluster. Written by its admission, never by hand. */
  votes?: ({
    /** As the API server knows the person. */
    user: string
    /** The person's groups then. */
    groups?: string[]
    /** What the person decided. */
    decision: 'Approved' | 'Denied'
    /** And why. */
    reason?: string
    /** When. */
    at: string
  })[]
}

/** Where the request stands. */
export interface ApprovalRequestStatus {
  /** The generation that the status is about. */
  observedGeneration?: number
  /** Where it stands. */
  state?: 'Pending' | 'Approved' | 'Denied' | 'Expired' | 'Used' | 'Withdrawn'
  /** Who decided what. */
  approvals?: ({
    /** As the API server knows the person. */
    user: string
    /** The person's groups then. */
    groups?: string[]
    /** What the person decided. */
    decision: 'Approved' | 'Denied'
    /** And why. */
    reason?: string
    /** When. */
    at: string
  })[]
  /** When the window of an elevation ends. */
  grantedUntil?: string
  /** When the approved command ran. */
  usedAt?: string
  /** Who used it, in a cluster. */
  usedBy?: {
    /** Name of the pod. */
    pod: string
    /** Drawn by the sidecar: the one that wrote it, and no other, may go. */
    claim: string
  }
  /** Why it was withdrawn. */
  why?: string
  /** Standard conditions; Ready sums them up. */
  conditions?: ({
    /** Name of the condition. */
    type: string
    /** Whether it holds. */
    status: 'True' | 'False' | 'Unknown'
    /** The generation that it is about. */
    observedGeneration?: number
    /** When status last changed. */
    lastTransitionTime: string
    /** Why, in one word. */
    reason: string
    /** Why, for a person. */
    message: string
  })[]
}

/** What agents may do in resources, and what happens when they do. */
export interface GuardrailPolicy {
  apiVersion: 'firebreak.dev/v1alpha1'
  kind: 'GuardrailPolicy'
  metadata: ObjectMeta
  spec: GuardrailPolicySpec
  status?: GuardrailPolicyStatus
}

/** Whom and what the policy is about, and its rules. */
export interface GuardrailPolicySpec {
  /** Sessions that the policy is about; each list that is given must match. Empty means all of the namespace. */
  appliesTo: {
    /** Names of identities. */
    identities?: string[]
    /** Groups; one of them is enough. */
    groups?: string[]
    /** Names of resources. */
    resources?: string[]
    /** Names of roles. */
    roles?: string[]
  }
  /** Order has no meaning; deny beats requireApproval beats allow, and masks add up. */
  rules?: ({
    /** Name of the rule; it stands in errors and audit. */
    name: string
    /** What the rule is about; all that is given must match. Empty means every command. */
    match: {
      /** Actions, as sql:delete; sql:* is all of a protocol. */
      actions?: string[]
      /** Objects by their dotted name, as public.customers; a part may be or hold the wildcard *, and a name covers all below it. A kind may stand before it, as in "function public.f". */
      objects?: string[]
      /** Tags of classified data; the wildcard * is allowed. */
      tags?: string[]
      /** A CEL expression over command, identity, resource and role that must be true. */
      condition?: string
    }
    /** What happens with a command that matches. */
    effect: 'allow' | 'deny' | 'requireApproval' | 'mask' | 'alert'
    /** For the one who is refused. */
    message?: string
    /** How matching values look. */
    mask?: {
      /** redact: replaced whole. partial: the last characters stay. hash: a keyed hash, equal for equal values. null: NULL. format: a false value of the same form. */
      strategy: 'redact' | 'partial' | 'hash' | 'null' | 'format'
      /** How many characters stay. */
      keepLast?: number
      /** The form to keep. */
      format?: 'email' | 'phone' | 'card' | 'ssn'
      /** What happens with commands that use the value without showing it (in WHERE, ORDER BY, a copy into another table …), which would leak it by inference. */
      indirectUse: 'deny' | 'allow'
    }
    /** Who has to agree. */
    approval?: {
      /** Groups of which an approver must have one. Absent means whoever has the right. */
      groups?: string[]
      /** How many must agree. */
      quorum: number
      /** How long the request stands. */
      expiresAfter: string
      /** How long a request is kept in a cluster after it was decided. */
      retention: string
      /** wait: the client waits. fail: it is told at once to come back. */
      whileWaiting: 'wait' | 'fail'
      /** identity: whoever of the same chain and role runs the same command may use the approval. session: only the session that asked. */
      boundTo: 'identity' | 'session'
    }
    /** How loud the alert is. */
    alert?: {
      /** Severity of the alert. */
      severity: 'info' | 'warning' | 'critical'
    }
  })[]
  /** What may be asked for, for a while. Granted actions need no allow rule and no approval of their own; a deny stays a deny. */
  elevations?: ({
    /** Name of the elevation; it stands in requests and audit. */
    name: string
    /** Roles of the resource that may be asked for. */
    roles?: string[]
    /** Actions that may be asked for, as sql:delete. */
    actions?: string[]
    /** What the actions may be done to. Absent means everything. */
    objects?: string[]
    /** The longest window, from the approval on. */
    maxDuration: string
    /** Who has to agree. */
    approval?: {
      /** Groups of which an approver must have one. Absent means whoever has the right. */
      groups?: string[]
      /** How many must agree. */
      quorum: number
      /** How long the request stands. */
      expiresAfter: string
      /** How long a request is kept in a cluster after it was decided. */
      retention: string
    }
    /** For emergencies: granted at once to whoever gives a reason, and as loud as can be in audit and signals. */
    breakGlass: boolean
  })[]
  /** The strictest of all policies that apply wins. */
  limits?: {
    /** Rows that one command may return. */
    rowsPerCommand?: number
    /** Rows that an identity may be returned within an hour. */
    rowsPerHour?: number
    /** Bytes that one command may return. */
    bytesPerCommand?: number
    /** Bytes that an identity may be returned within an hour. */
    bytesPerHour?: number
    /** Commands of an identity within a minute. */
    commandsPerMinute?: number
    /** How long one command may run. */
    commandDuration?: string
  }
  /** Detectors that mask values by their form in text that is not classified. */
  detection?: {
    /** What to look for. */
    kinds: ('card' | 'ssn' | 'email' | 'iban' | 'cloud-key' | 'jwt' | 'private-key')[]
  }
  /** What the audit holds, and what happens when it cannot be written. */
  audit?: {
    /** The command's text: full, with its constants taken out, or only its digest. */
    text: 'full' | 'normalized' | 'digest'
    /** block: commands wait. spool: lines go to a local file until the sink is back. drop: as spool, and where there is no room left lines are dropped, and counted. */
    onFailure: 'block' | 'spool' | 'drop'
  }
  /** How sessions are recorded. Of several policies each has what it asks for: the most is recorded, and kept the longest. */
  recording?: {
    /** full: commands and responses, as the client gets them after masking. commands: without responses. off: this policy asks for none. */
    mode: 'full' | 'commands' | 'off'
    /** Whether what masks hide in responses is kept as well, for those alone whom the recordings' place names for it. Of several policies all that mask have to say so. */
    unmasked: boolean
    /** How long recordings are kept. */
    retention: string
    /** Bytes of a command's response, and of the data that is sent for it, that are recorded. */
    bytesPerCommand: number
    /** Largest size of one recording, compressed. */
    maxBytes: number
    /** What happens with the session at that size. */
    onLimit: 'end' | 'continue'
    /** What happens with sessions that can't be recorded. refuse: none begins, and those under way end. continue: they go on without. */
    onFailure: 'refuse' | 'continue'
  }
  /** Patterns across commands that are worth an alert, or more; each stands on its own. */
  signals?: ({
    /** The pattern. repeatedApprovalRequests: asking again for what people have denied. probing: many different denials. tampering: attempts to disable, reconfigure or reach around the gateway. egress: attempts of a contained agent to leave its pod another way. maskingExceptions: asking for masked data in ways that masking refuses, or reading classified data unmasked for the first time. idleThenBurst: waking after a long time. firstSeen: a table or action that the identity never used before. volumeSpike: far more rows or commands than ever before. rowHarvest: small reads that add up to a share of a table. offHours: use outside of the hours. tokenMisuse: tokens that prove nothing, or are used from elsewhere. childActsAsParent: delegations used beyond what they are. */
    kind: 'repeatedApprovalRequests' | 'probing' | 'tampering' | 'egress' | 'maskingExceptions' | 'idleThenBurst' | 'firstSeen' | 'volumeSpike' | 'rowHarvest' | 'offHours' | 'tokenMisuse' | 'childActsAsParent'
    /** How many times within the window, or how much: of volumeSpike how many times the most so far, of rowHarvest the percentage of the table. Its default depends on the kind. */
    threshold?: number
    /** Within how long. Its default depends on the kind. */
    window?: string
    /** alert: it is told. requireApproval: the identity's commands are held for approval as well, until a person resumes it. suspend: its sessions end, and it gets none until a person resumes it. */
    action: 'alert' | 'requireApproval' | 'suspend'
    /** Groups of which whoever approves or resumes must have one. Absent means whoever has the right. */
    groups?: string[]
    /** When use is expected. */
    hours?: {
      /** Name in the time zone database, as Europe/Vienna, or UTC. */
      timeZone: string
      /** Days of the week on which they begin. */
      days: ('Mon' | 'Tue' | 'Wed' | 'Thu' | 'Fri' | 'Sat' | 'Sun')[]
      /** Time of day, as 07:00. */
      from: string
      /** Time of day; one before from is on the next day. */
      to: string
    }
    /** How long from an identity's first command on it is only learned what is usual. 7d if absent. */
    learnFor?: string
    /** How long is long. 7d if absent. */
    idleFor?: string
  })[]
}

/** What the operator made of it. */
export interface GuardrailPolicyStatus {
  /** The generation that the status is about. */
  observedGeneration?: number
  /** Rules that were compiled. */
  rules?: number
  /** Identities that the policy applies to. */
  identities?: number
  /** Revision of the compiled policy. */
  revision?: string
  /** Standard conditions; Ready sums them up. */
  conditions?: ({
    /** Name of the condition. */
    type: string
    /** Whether it holds. */
    status: 'True' | 'False' | 'Unknown'
    /** The generation that it is about. */
    observedGeneration?: number
    /** When status last changed. */
    lastTransitionTime: string
    /** Why, in one word. */
    reason: string
    /** Why, for a person. */
    message: string
  })[]
}

/** A protected system, the accounts in it that agents may act as, and what its data is. */
export interface ProtectedResource {
  apiVersion: 'firebreak.dev/v1alpha1'
  kind: 'ProtectedResource'
  metadata: ObjectMeta
  spec: ProtectedResourceSpec
  status?: ProtectedResourceStatus
}

/** What is protected, and how it is reached. */
export interface ProtectedResourceSpec {
  /** The protocol that is spoken to the system. */
  type: 'postgresql' | 'mysql' | 'kubernetes' | 'ssh' | 'rdp' | 'http'
  /** Host and port of the system, as the sidecar reaches it. */
  address: string
  /** The database that sessions are bound to. Absent means the one that the client asks for. */
  database?: string
  /** How an HTTP API is spoken to. */
  http?: {
    /** Paths at and below which GraphQL is served, as in /graphql. What is asked for there is decided besides the request. */
    graphql?: string[]
    /** Paths at and below which gRPC is served, as in /shop.v1.Orders, or / for all of a server. What is called there is decided besides the request, and goes to the server in HTTP/2, also without TLS. */
    grpc?: string[]
    /** Paths at and below which the Model Context Protocol is served over HTTP, as in /mcp. Its messages are decided besides the request. */
    mcp?: string[]
    /** The API's OpenAPI document, of version 3.0 or 3.1. What requests do is also called by its operations, as in openapi:deleteUser, and what answers hold is classified by the x-firebreak-tags of its schemas. */
    openapi?: {
      /** The document itself, YAML or JSON as text. */
      document?: string
      /** A file that holds it (standalone). It is read with the manifests. */
      file?: {
        /** Path of the file, relative to the manifest's directory. */
        path: string
      }
    }
    /** Whether conditions may ask for fields of bodies, command.body.fields. Bodies that have no one meaning are opaque then, and those over 1 MiB are refused. */
    readBodies: boolean
    /** How the API takes the role's credential. What the agent sends of that kind never reaches it. */
    authentication: {
      /** bearer: its password as a bearer token. basic: its user name and password. header: its password in the header name. query: its password in the parameter name of the query. oauth2: a token that is obtained with them. aws: a signature that is made with them. none: not at all, as where the client certificate says it. */
      as: 'bearer' | 'basic' | 'header' | 'query' | 'oauth2' | 'aws' | 'none'
      /** Name of the header or of the parameter. */
      name?: string
      /** Requests signed by AWS Signature Version 4. The role's user name is the id of the access key, and its password the secret key. */
      aws?: {
        /** The service as signatures name it: s3, dynamodb, execute-api. */
        service: string
        /** The region as signatures name it, as in eu-central-1. */
        region: string
      }
      /** Access tokens by OAuth 2.0's client credentials. The role's user name is the client's id, and its password the client's secret. They go to the token endpoint, and the token to the API. */
      oauth2?: {
        /** URL of the token endpoint. Plain http only on this host. */
        tokenUrl: string
        /** What the token is to be good for. */
        scopes?: string[]
        /** Whom the token is to be for, where the provider asks for an audience. */
        audience?: string
        /** How the client says who it is. basic: in the header Authorization. post: in the form. */
        clientAuthentication: 'basic' | 'post'
        /** Where a PEM text comes from. */
        ca?: {
          /** A key of a Secret in the same namespace. */
          secret?: {
            /** Name of the Secret. */
            name: string
            /** Key in its data. */
            key: string
          }
          /** A file that the sidecar can read (standalone). */
          file?: {
            /** Path of the file, relative to the manifest's directory. */
            path: string
          }
          /** A variable of the sidecar's environment (standalone). */
          env?: {
            /** Name of the variable. */
            name: string
          }
        }
      }
    }
  }
  /** How the connection to the system is protected. Without ca the authorities of the system are trusted. */
  tls: {
    /** disable: plain text. require: encrypted, the server is not verified. verify-ca: its certificate is verified. verify-full: and its name as well. */
    mode: 'disable' | 'require' | 'verify-ca' | 'verify-full'
    /** Where a PEM text comes from. */
    ca?: {
      /** A key of a Secret in the same namespace. */
      secret?: {
        /** Name of the Secret. */
        name: string
        /** Key in its data. */
        key: string
      }
      /** A file that the sidecar can read (standalone). */
      file?: {
        /** Path of the file, relative to the manifest's directory. */
        path: string
      }
      /** A variable of the sidecar's environment (standalone). */
      env?: {
        /** Name of the variable. */
        name: string
      }
    }
    /** The name to verify and to send as SNI when it differs from the host of the address. */
    serverName?: string
  }
  /** The downstream accounts that agents may act as. The agent never sees their credentials. */
  roles: ({
    /** What the agent calls the account, as its user name for example. */
    name: string
    /** The account's name in the system where the credential does not hold it. Absent means the role's name. */
    username?: string
    /** Where the account's password comes from. Absent where the client certificate alone says who it is. */
    credential?: {
      /** A Secret in the same namespace. */
      secret?: {
        /** Name of the Secret. */
        name: string
        /** Key that holds the account's name, where the Secret has it. */
        usernameKey: string
        /** Key that holds the password. */
        passwordKey: string
      }
      /** A file that holds the password (standalone). A trailing newline is not part of it. */
      file?: {
        /** Path of the file, relative to the manifest's directory. */
        path: string
      }
      /** Variables of the sidecar's environment (standalone). */
      env?: {
        /** Name of the variable that holds the account's name. */
        username?: string
        /** Name of the variable that holds the password. */
        password: string
      }
      /** A program that prints the password, or a JSON object with username, password and expiresAt (standalone). */
      command?: {
        /** The program and its arguments; no shell is between. */
        arguments: string[]
      }
      /** A vault that answers a GET with JSON. */
      http?: {
        /** URL of the secret. Plain http only on this host. */
        url: string
        /** Where a PEM text comes from. */
        ca?: {
          /** A key of a Secret in the same namespace. */
          secret?: {
            /** Name of the Secret. */
            name: string
            /** Key in its data. */
            key: string
          }
          /** A file that the sidecar can read (standalone). */
          file?: {
            /** Path of the file, relative to the manifest's directory. */
            path: string
          }
          /** A variable of the sidecar's environment (standalone). */
          env?: {
            /** Name of the variable. */
            name: string
          }
        }
        /** Header that the token is sent in; with Authorization it is sent as a bearer token. */
        header: string
        /** Where a PEM text comes from. */
        token?: {
          /** A key of a Secret in the same namespace. */
          secret?: {
            /** Name of the Secret. */
            name: string
            /** Key in its data. */
            key: string
          }
          /** A file that the sidecar can read (standalone). */
          file?: {
            /** Path of the file, relative to the manifest's directory. */
            path: string
          }
          /** A variable of the sidecar's environment (standalone). */
          env?: {
            /** Name of the variable. */
            name: string
          }
        }
        /** Where the account's name is in the answer, as in data.username. */
        usernameField: string
        /** Where the password is in the answer, as in data.password. */
        passwordField: string
        /** Where the answer says for how many seconds the account is good. Absent or 0 there means until it is rotated. */
        leaseField: string
      }
      /** What happens with running sessions when the password has changed. keep: they go on. end: they end. */
      onRotation: 'keep' | 'end'
    }
    /** Every session gets an account of its own, made with the credential and dropped at the session's end. The account of the credential needs the right to make accounts (PostgreSQL: CREATEROLE, and ADMIN OPTION on what is given on). */
    shortLived?: {
      /** What the account is a member of, which is where its rights come from. */
      memberOf: string[]
      /** How long its password lets in, should the account not be dropped. */
      validFor: string
    }
    /** A TLS client certificate to present, as well as the credential or by itself. */
    clientCertificate?: {
      /** Where a PEM text comes from. */
      certificate: {
        /** A key of a Secret in the same namespace. */
        secret?: {
          /** Name of the Secret. */
          name: string
          /** Key in its data. */
          key: string
        }
        /** A file that the sidecar can read (standalone). */
        file?: {
          /** Path of the file, relative to the manifest's directory. */
          path: string
        }
        /** A variable of the sidecar's environment (standalone). */
        env?: {
          /** Name of the variable. */
          name: string
        }
      }
      /** Where a PEM text comes from. */
      key: {
        /** A key of a Secret in the same namespace. */
        secret?: {
          /** Name of the Secret. */
          name: string
          /** Key in its data. */
          key: string
        }
        /** A file that the sidecar can read (standalone). */
        file?: {
          /** Path of the file, relative to the manifest's directory. */
          path: string
        }
        /** A variable of the sidecar's environment (standalone). */
        env?: {
          /** Name of the variable. */
          name: string
        }
      }
    }
  })[]
  /** The pods behind the address when they are in the cluster; they get an ingress NetworkPolicy. Pods of another namespace only where that namespace agrees, by an annotation firebreak.dev/resources-from with the names of namespaces. */
  workload?: {
    /** Selects by labels; all that is given must match. */
    podSelector: {
      /** Labels and their values. */
      matchLabels?: Record<string, string>
      /** Label requirements. */
      matchExpressions?: ({
        /** The label. */
        key: string
        /** How values are compared. */
        operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
        /** The values of In and NotIn. */
        values?: string[]
      })[]
    }
    /** Selects by labels; all that is given must match. */
    namespaceSelector?: {
      /** Labels and their values. */
      matchLabels?: Record<string, string>
      /** Label requirements. */
      matchExpressions?: ({
        /** The label. */
        key: string
        /** How values are compared. */
        operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
        /** The values of In and NotIn. */
        values?: string[]
      })[]
    }
    /** The pods' port where it differs from that of the address. */
    port?: number
    /** Who else may connect, as the system's own applications. Agents' pods come in by themselves. */
    alsoFrom?: ({
      /** Selects by labels; all that is given must match. */
      podSelector?: {
        /** Labels and their values. */
        matchLabels?: Record<string, string>
        /** Label requirements. */
        matchExpressions?: ({
          /** The label. */
          key: string
          /** How values are compared. */
          operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
          /** The values of In and NotIn. */
          values?: string[]
        })[]
      }
      /** Selects by labels; all that is given must match. */
      namespaceSelector?: {
        /** Labels and their values. */
        matchLabels?: Record<string, string>
        /** Label requirements. */
        matchExpressions?: ({
          /** The label. */
          key: string
          /** How values are compared. */
          operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
          /** The values of In and NotIn. */
          values?: string[]
        })[]
      }
      /** Address range, as 10.2.0.0/16. */
      cidr?: string
    })[]
  }
  /** What kinds of data the system holds, and where. */
  classification?: ({
    /** Names for the kind of data, from the general to the special, as in pii/email. */
    tags: string[]
    /** Columns as schema.table.column; a part may be or hold the wildcard *. */
    columns?: string[]
    /** Paths of fields in documents, as in $.customer.email. */
    fields?: string[]
  })[]
}

/** What the operator saw. */
export interface ProtectedResourceStatus {
  /** The generation that the status is about. */
  observedGeneration?: number
  /** Standard conditions; Ready sums them up. */
  conditions?: ({
    /** Name of the condition. */
    type: string
    /** Whether it holds. */
    status: 'True' | 'False' | 'Unknown'
    /** The generation that it is about. */
    observedGeneration?: number
    /** When status last changed. */
    lastTransitionTime: string
    /** Why, in one word. */
    reason: string
    /** Why, for a person. */
    message: string
  })[]
}

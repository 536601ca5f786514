import { parseArgs } from 'node:util'
import { type ControlledEvent, ControlledSidecar } from '@firebreak/sidecar'
import { auditHelp, parseAuditTargets } from './audit-targets.ts'
import { type CliCommand, UsageError } from './command.ts'
import { parseAddress, parseListen, stopSignal } from './serving.ts'

export const sidecar: CliCommand = {
  name: 'sidecar',
  summary: "enforce in an agent's pod what the operator says",
  options: [
    'control',
    'token-file',
    'run-directory',
    'clients',
    'ready-port',
    'listen',
    'api',
    'dns-port',
    'audit',
    'spool',
  ],
  help: `The enforcer in an agent's pod. The operator starts it there; its configuration comes from the operator.

Usage: firebreak sidecar --control=HOST:PORT --token-file=FILE --run-directory=DIR --clients=DIR
       --ready-port=PORT --api=HOST:PORT [--listen=RESOURCE=HOST:PORT]… [--dns-port=PORT]
       [--audit=TARGET]… --spool=DIR

  --control H:P        the operator's configuration stream
  --token-file FILE    the service account token that proves this pod; read again for each stream
  --run-directory DIR  what it shares with Envoy: sockets, and Envoy's configuration
  --clients DIR        where the agent's clients find the files that lead them here; it only reads them
  --ready-port PORT    answers /ready, /ready/capture and, for Prometheus, /metrics
  --api H:P            where agents ask for delegations and more rights, on loopback
  --listen R=H:P       where clients find resource R; may be repeated
  --dns-port PORT      answers DNS on loopback (default: the one that the pod's rules send DNS to)
${auditHelp}
  --spool DIR          where lines wait for the sinks elsewhere that the operator names besides

Environment: FIREBREAK_CONTROL_CA (PEM), FIREBREAK_POD_NAMESPACE, FIREBREAK_POD_NAME, FIREBREAK_POD_UID.

Exit code 0: stopped by SIGTERM, SIGINT or SIGHUP. 1: a port is taken, or the directory can't be written to.`,
  async run(words) {
    const { values } = parseArgs({
      args: [...words],
      options: {
        control: { type: 'string' },
        'token-file': { type: 'string' },
        'run-directory': { type: 'string' },
        clients: { type: 'string' },
        'ready-port': { type: 'string' },
        listen: { type: 'string', multiple: true },
        api: { type: 'string' },
        'dns-port': { type: 'string' },
        audit: { type: 'string', multiple: true },
        spool: { type: 'string' },
      },
    })
    const dnsPort = values['dns-port'] === undefined ? undefined : port('dns-port', values['dns-port'])
    const stopped = stopSignal()
    await using _sidecar = await ControlledSidecar.start({
      control: {
        control: needed('control', values.control),
        tokenFile: needed('token-file', values['token-file']),
        ca: variable('FIREBREAK_CONTROL_CA'),
      },
      runDirectory: needed('run-directory', values['run-directory']),
      clientDirectory: needed('clients', values.clients),
      readyPort: port('ready-port', values['ready-port']),
      listen: parseListen(values.listen ?? []),
      api: parseAddress('api', needed('api', values.api)),
      pod: {
        namespace: variable('FIREBREAK_POD_NAMESPACE'),
        name: variable('FIREBREAK_POD_NAME'),
        uid: variable('FIREBREAK_POD_UID'),
      },
      ...(dnsPort !== undefined && { dns: { hosts: ['127.0.0.1'], port: dnsPort } }),
      audit: parseAuditTargets(values.audit),
      spoolDirectory: needed('spool', values.spool),
      onEvent: report,
    })
    await stopped
    console.error('stopping: sessions are told, the rest of the audit is written')
    return 0
  },
}

function needed(option: string, value: string | undefined): string {
  if (value === undefined) throw new UsageError(`sidecar needs --${option}`)
  return value
}

function port(option: string, value: string | undefined): number {
  const number = Number(value)
  if (value === undefined || !/^\d+$/.test(value) || number > 65_535)
    throw new UsageError(`--${option} takes a port number`)
  return number
}

function variable(name: string): string {
  const value = process.env[name]
  if (!value) throw new UsageError(`sidecar needs the environment variable ${name}`)
  return value
}

/** For the log of the container; standard output is the audit trail. */
function report(event: ControlledEvent): void {
  console.error(inWords(event))
}

function inWords(event: ControlledEvent): string {
  switch (event.kind) {
    case 'ready':
      return `readiness is told on port ${event.port}`
    case 'connected':
      return 'connected to the operator'
    case 'lost':
      return `no connection to the operator (${event.reason}); what is in force stays`
    case 'applied':
      return `revision ${event.revision} is in force`
    case 'refused':
      return `refused what the operator sent, what was in force stays: ${event.reason}`
    case 'removed':
      return 'this pod is of no agent any more: everything is refused'
    case 'listening':
      return `guarding ${event.resource} on ${event.address.host}:${event.address.port}`
    case 'listenFailed':
      return `not guarded: nobody can listen for ${event.resource}: ${event.message}`
    case 'api':
      return `agents can ask for delegations and more rights at http://${event.address.host}:${event.address.port}`
    case 'apiFailed':
      return `agents can't ask for anything: ${event.message}`
    case 'unsupported':
      return `not guarded: ${event.resource} is of type ${event.type}, which this version does not speak`
    case 'recordings':
      return `sessions are recorded in ${event.place}`
    case 'recordingsFailed':
      return `sessions that are to be recorded are refused: ${event.message}`
    case 'tracesUndelivered':
      return `traces: ${event.collector} takes no spans (${event.reason}); those that there is no room for are dropped`
    case 'tracesDelivered':
      return `traces: ${event.collector} takes spans again`
    case 'auditFailed':
      return `audit: ${event.message}; commands wait until it can be written`
    case 'auditRecovered':
      return 'audit: all lines are written, commands go on'
    case 'auditUndelivered':
      return `audit: ${event.receiver} takes no lines (${event.reason}); they are kept in its spool and sent again`
    case 'auditDelivered':
      return `audit: ${event.receiver} takes lines again`
    case 'auditLost':
      return `audit: ${event.lines} lines could not be written and are lost`
  }
}

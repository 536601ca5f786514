import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { parseArgs } from 'node:util'
import { ConfigurationError, Standalone, type StandaloneEvent } from '@firebreak/sidecar'
import { auditHelp, parseAuditTargets } from './audit-targets.ts'
import { type CliCommand, UsageError } from './command.ts'
import { showProblem, styleError } from './output.ts'
import { parseRecipients, parseRecordings, recordingsHelp } from './recording-target.ts'
import { parseAddress, parseListen, readNotify, stopSignal } from './serving.ts'
import { parseTraces, tracesHelp } from './trace-target.ts'

export const run: CliCommand = {
  name: 'run',
  summary: 'guard the resources of a directory of manifests',
  options: [
    'config',
    'identity',
    'listen',
    'audit',
    'tls-certificate',
    'tls-key',
    'state',
    'api',
    'metrics',
    'agent-user',
    'notify',
    'notify-secret-file',
    'recordings',
    'recording-key',
    'unmasked-key',
    'traces',
  ],
  help: `Guards the resources of a directory of manifests on loopback listeners, until it is stopped.

Usage: firebreak run --config DIR [--identity NAME] [--listen RESOURCE=HOST:PORT]… [--audit TARGET]…
       [--tls-certificate FILE --tls-key FILE]

  --config DIR      the manifests; watched, a change applies to the next command
  --identity NAME   whom the loopback listeners stand for, where several identities could be meant
  --listen R=H:P    where to listen for resource R (default: the protocol's port on 127.0.0.1, or the next free one)
${auditHelp}
  --tls-certificate FILE, --tls-key FILE
                    let clients connect with TLS (PEM); needed for tokens from other hosts
  --state DIR       where approval requests are kept and decided (default: approvals in the --config directory)
  --api HOST:PORT   where agents ask for delegations, on loopback (default: 127.0.0.1:4780, or the next free port)
                    and on the socket api.sock in the --state directory
  --metrics HOST:PORT
                    serve Prometheus' metrics at /metrics there (default: nowhere)
${tracesHelp}
  --agent-user USER a user of the system that agents run as: what it decides counts for nothing; may be repeated
  --notify URL --notify-secret-file FILE
                    POST what happens to approval requests to URL, signed with the secret in FILE
${recordingsHelp}
                    (default: the directory recordings in the --state or --config directory)
  --recording-key KEY
                    who can read the recordings: a public key of age (age1…); may be repeated (default: a key that is
                    made, in recording-keys beside them)
  --unmasked-key KEY
                    who can see what masks hid as well, of sessions whose policies want that recorded: another public
                    key; may be repeated (default: nobody, and such sessions are refused)

Exit code 0: stopped by SIGTERM, SIGINT or SIGHUP. 1: the configuration is not valid, or a port is taken.`,
  async run(words) {
    const { values } = parseArgs({
      args: [...words],
      options: {
        config: { type: 'string' },
        identity: { type: 'string' },
        listen: { type: 'string', multiple: true },
        audit: { type: 'string', multiple: true },
        'tls-certificate': { type: 'string' },
        'tls-key': { type: 'string' },
        state: { type: 'string' },
        api: { type: 'string' },
        metrics: { type: 'string' },
        'agent-user': { type: 'string', multiple: true },
        notify: { type: 'string' },
        'notify-secret-file': { type: 'string' },
        recordings: { type: 'string' },
        'recording-key': { type: 'string', multiple: true },
        'unmasked-key': { type: 'string', multiple: true },
        traces: { type: 'string' },
      },
    })
    if (values.config === undefined) throw new UsageError('run needs --config DIR')
    const clientTls = readTls(values['tls-certificate'], values['tls-key'])
    // clients come as soon as it listens: from then on it ends by itself
    const stopped = stopSignal()
    try {
      const { recipients, unmaskedRecipients } = await parseRecipients(values)
      await using _standalone = await Standalone.start({
        directory: values.config,
        audit: parseAuditTargets(values.audit),
        identity: values.identity,
        listen: parseListen(values.listen ?? []),
        clientTls,
        stateDirectory: values.state,
        api: values.api === undefined ? undefined : parseAddress('api', values.api),
        metrics: values.metrics === undefined ? undefined : parseAddress('metrics', values.metrics),
        agentUsers: values['agent-user'],
        notify: readNotify(values.notify, values['notify-secret-file']),
        recordings: values.recordings === undefined ? undefined : parseRecordings(values.recordings),
        recordingRecipients: recipients,
        unmaskedRecipients,
        traces: parseTraces(values.traces),
        onEvent: report,
      })
      await stopped
      console.error('stopping: sessions are told, the rest of the audit is written')
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error
      for (const problem of error.problems) console.error(showProblem(problem, process.stderr))
      console.error(`${styleError('red', 'error:')} ${error.message}; nothing is served`)
      return 1
    }
    return 0
  },
}

/** @throws UsageError when one is missing, or the two are not a certificate and its key. */
function readTls(
  certificateFile: string | undefined,
  keyFile: string | undefined,
): { certificate: string; key: string } | undefined {
  if (certificateFile === undefined && keyFile === undefined) return undefined
  if (certificateFile === undefined || keyFile === undefined)
    throw new UsageError('--tls-certificate and --tls-key go together')
  try {
    const certificate = readFileSync(certificateFile, 'utf8')
    const key = readFileSync(keyFile, 'utf8')
    createSecureContext({ cert: certificate, key })
    return { certificate, key }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new UsageError(`${certificateFile} and ${keyFile} can't be used as certificate and key: ${message}`)
  }
}

/** Messages for the person at the terminal; standard output may be the audit trail. */
function report(event: StandaloneEvent): void {
  switch (event.kind) {
    case 'listening':
      console.error(
        `${styleError('green', 'guarding')} ${event.resource} (${event.type}) on ${event.address.host}:${event.address.port}`,
      )
      break
    case 'unsupported':
      console.error(
        `${styleError('yellow', 'not guarded')}: ${event.resource} is of type ${event.type}, which this version does not speak`,
      )
      break
    case 'ambiguous':
      console.error(
        `${styleError('yellow', 'not usable yet')}: ${event.resource} could be used by ${event.identities.join(', ')}; --identity NAME says which of them connects`,
      )
      break
    case 'applied':
      for (const problem of event.problems) console.error(showProblem(problem, process.stderr))
      console.error(`policy revision ${event.revision} is in force`)
      break
    case 'refused':
      for (const problem of event.problems) console.error(showProblem(problem, process.stderr))
      console.error(
        `${styleError('red', 'refused')}: the changed configuration is not valid; revision ${event.revision} stays in force`,
      )
      break
    case 'approvals':
      console.error(
        `approval requests are in ${event.directory}: firebreak approvals --watch --state ${event.directory}`,
      )
      if (event.anybody)
        console.error(
          `${styleError('yellow', 'note')}: agents that run as this user can approve for themselves; give them users of their own, and name those with --agent-user`,
        )
      break
    case 'approvalsFailed':
      console.error(
        `${styleError('red', 'approvals')}: nobody can be asked, so commands that need approval are refused: ${event.message}`,
      )
      break
    case 'signalsFailed':
      console.error(
        `${styleError('yellow', 'signals')}: what is usual for an identity is learned anew: ${event.message}`,
      )
      break
    case 'tokenFailed':
      console.error(
        `${styleError('red', 'identity')}: there is no token for ${event.identity}, whose clients are refused: ${event.message}`,
      )
      break
    case 'classifiesNothing': {
      const { resource, classified, place, suggestion } = event.doubt
      const meant = suggestion === undefined ? '' : `; did you mean ${suggestion}?`
      console.error(
        `${styleError('yellow', 'no such column')}: ${place}: ${resource} classifies ${classified}, which it does not have${meant}`,
      )
      break
    }
    case 'recordings':
      console.error(
        `sessions are recorded in ${event.place}${event.keys === undefined ? '' : `; the key to read them is in ${event.keys}`}`,
      )
      break
    case 'recordingsFailed':
      console.error(
        `${styleError('red', 'recordings')}: sessions that are to be recorded are refused: ${event.message}`,
      )
      break
    case 'api':
      console.error(
        `agents can delegate at http://${event.address.host}:${event.address.port} and ${event.socket}: firebreak delegate --help`,
      )
      break
    case 'metrics':
      console.error(`metrics are at http://${event.address.host}:${event.address.port}/metrics`)
      break
    case 'tracesUndelivered':
      console.error(
        `${styleError('yellow', 'traces')}: ${event.collector} takes no spans (${event.reason}); those that there is no room for are dropped`,
      )
      break
    case 'tracesDelivered':
      console.error(`${styleError('green', 'traces')}: ${event.collector} takes spans again`)
      break
    case 'apiFailed':
      console.error(`${styleError('red', 'api')}: agents can't ask for anything: ${event.message}`)
      break
    case 'auditFailed':
      console.error(
        `${styleError('red', 'audit')}: ${event.message}; commands wait until it can be written, or use its spool where the policy says so`,
      )
      break
    case 'auditRecovered':
      console.error(`${styleError('green', 'audit')}: all lines are written, commands go on`)
      break
    case 'auditUndelivered':
      console.error(
        `${styleError('yellow', 'audit')}: ${event.receiver} takes no lines (${event.reason}); they are kept in its spool and sent again`,
      )
      break
    case 'auditDelivered':
      console.error(`${styleError('green', 'audit')}: ${event.receiver} takes lines again`)
      break
    case 'auditLost':
      console.error(`${styleError('red', 'audit')}: ${event.lines} lines could not be written and are lost`)
  }
}

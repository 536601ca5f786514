import { maskedBody } from '../http/bodies/open.ts'
import { httpProtocol } from '../http/exchange/serve.ts'
import type { OpenBodyMask } from '../http/request.ts'
import { withInspectableAnswer } from './accept.ts'
import { withLines } from './analysis/lines.ts'
import { dryRunOf } from './dry-run.ts'
import { openTextMask } from './masking/open.ts'
import { analysisOf, kubernetesMeaning } from './meaning.ts'
import { sayStatus } from './status.ts'
import { kubernetesStreams } from './streams/index.ts'

const openBodyMask: OpenBodyMask = (request, response, terms) => {
  const known = analysisOf(request)
  if (!known.ok) return { ok: false, error: known.error.message }
  const { objects } = known.value
  return maskedBody(request, response, terms, ({ mediaType }, labels) =>
    openTextMask(objects, mediaType, terms, labels),
  )
}

/** A Kubernetes API: requests by what they do with which objects. */
export const kubernetes = httpProtocol({
  meaningOf: () => kubernetesMeaning,
  openBodyMask,
  kind: {
    type: 'kubernetes',
    say: sayStatus,
    root: [],
    refusal: (request) => {
      const known = analysisOf(request)
      return known.ok ? undefined : { status: known.error.code, message: known.error.message }
    },
    inspectable: withInspectableAnswer,
    lesser: (request) => {
      const known = analysisOf(request)
      return known.ok ? withLines(known.value) : undefined
    },
    question: dryRunOf,
    streams: kubernetesStreams,
  },
})

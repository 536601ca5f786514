/** One detector for each kind of signal. Each is a function of what it was told and when: none has a clock, and all are bounded. */
import type { SignalRule } from '@firebreak/policy'
import type { Baseline } from '../baseline.ts'
import type { Detector } from '../events.ts'
import { Egress } from './egress.ts'
import { FirstSeen } from './first-seen.ts'
import { IdleThenBurst } from './idle-then-burst.ts'
import { MaskingExceptions } from './masking-exceptions.ts'
import { Misuse } from './misuse.ts'
import { OffHours } from './off-hours.ts'
import { Probing } from './probing.ts'
import { RepeatedRequests } from './repeated-requests.ts'
import { RowHarvest } from './row-harvest.ts'
import { Tampering } from './tampering.ts'
import { VolumeSpike } from './volume-spike.ts'

const nothing: Detector = { observe: () => undefined }

export function detectorFor(rule: SignalRule, baseline: Baseline): Detector {
  switch (rule.kind) {
    case 'repeatedApprovalRequests':
      return new RepeatedRequests(rule)
    case 'probing':
      return new Probing(rule)
    case 'tampering':
      return new Tampering(rule)
    case 'egress':
      return new Egress(rule)
    case 'maskingExceptions':
      return new MaskingExceptions(rule, baseline)
    case 'idleThenBurst':
      return new IdleThenBurst(rule, baseline)
    case 'firstSeen':
      return new FirstSeen(rule, baseline)
    case 'volumeSpike':
      return new VolumeSpike(rule, baseline)
    case 'rowHarvest':
      return new RowHarvest(rule, baseline)
    case 'offHours':
      return rule.hours ? new OffHours(rule.hours) : nothing
    case 'tokenMisuse':
    case 'childActsAsParent':
      return new Misuse(rule)
  }
}

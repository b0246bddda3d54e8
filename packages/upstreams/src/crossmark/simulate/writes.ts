/**
 * The writes of the simulated Crossmark. See docs/upstreams/crossmark.md, "Operations". A request that lacks a recorded
 * field is refused with `ok: 0`.
 */
import type { SimulatedReply, SimulatedRequest } from '../../simulation/simulation.ts';
import { repName } from './people.ts';
import type { Booking, Plan, Visit } from './plan.ts';
import { isItem } from './reads.ts';
import { jsonReply, notOk } from './replies.ts';

const scheduleFields = [
  'ClassName',
  'RepID',
  'mPlanID',
  'LocationID',
  'Start',
  'End',
  'hash',
  'v',
  'PlanningOverride',
];

const pendingWorkFields = [
  'workLogEntryID',
  'storeID',
  'mPlanID',
  'reissueBulkJson',
  'action',
  'includeResponses',
  'pendingWorkReasonComments',
  'public',
  'excludeReps',
  'excludedRepIDs',
  'overrideReps',
  'overriddenRepIDs',
  'expirationDate',
  'additionalEmail',
];

const localTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[+-]\d{2}:\d{2}$/;

/** `POST scheduleMplanEvent`: books a visit and echoes it. */
export function scheduleEvent(
  plan: Plan,
  request: SimulatedRequest,
  options: { inPlace: boolean; lagMs: number },
): SimulatedReply {
  const booking = readBooking(request);
  if (typeof booking === 'string') return notOk(booking);
  const visit = plan.schedule(booking, options);
  return jsonReply(
    { ok: 1, MVScheduledEvent: echo(visit, booking), repName: repName(booking.repId) },
    { applied: true },
  );
}

/** `POST deleteScheduledMplanEvent`. The real answer for a missing id is unknown, so it is a setting. */
export function unscheduleEvent(
  plan: Plan,
  request: SimulatedRequest,
  options: { missing: 'ok' | 'not-ok'; lagMs: number },
): SimulatedReply {
  const id = request.fields.id ?? '';
  if (request.bodyKind !== 'form' || !/^\d+$/.test(id)) return notOk('id is required');
  if (plan.remove(Number(id), options.lagMs)) return jsonReply({ ok: 1 }, { applied: true });
  return options.missing === 'ok' ? jsonReply({ ok: 1 }) : notOk('No such scheduled event');
}

/** `POST createPendingWork/`: reissues an item. Repeats count too. */
export function reissueEvent(plan: Plan, request: SimulatedRequest): SimulatedReply {
  const { fields } = request;
  const problem =
    missingField(request, pendingWorkFields) ??
    (isItem(fields.mPlanID ?? '', fields.storeID ?? '') ? null : 'mPlanID or storeID is unknown') ??
    (fields.action === 'reissue' ? null : 'action is unknown') ??
    (/^\[\s*"?\d+"?\s*\]$/.test(fields.overriddenRepIDs ?? '') ? null : 'overriddenRepIDs is invalid') ??
    (/^\d{4}-\d{2}-\d{2}T00:00:00$/.test(fields.expirationDate ?? '') ? null : 'expirationDate is invalid');
  if (problem) return jsonReply({ ok: 0, success: false, message: problem });
  plan.addPendingWork(fields.mPlanID ?? '', fields.storeID ?? '');
  return jsonReply({ ok: 1, success: true }, { applied: true });
}

function readBooking(request: SimulatedRequest): Booking | string {
  const missing = missingField(request, scheduleFields);
  if (missing) return missing;
  const { ClassName, RepID = '', mPlanID = '', LocationID = '', Start = '', End = '' } = request.fields;
  if (ClassName !== 'MVScheduledmPlan') return 'ClassName is unknown';
  if (!/^\d{5,6}$/.test(RepID)) return 'RepID is invalid';
  if (!isItem(mPlanID, LocationID)) return 'mPlanID or LocationID is unknown';
  if (!localTime.test(Start) || !localTime.test(End)) return 'Start or End is invalid';
  const startMs = Date.parse(Start);
  const endMs = Date.parse(End);
  if (!(endMs > startMs)) return 'End must be after Start';
  return { mPlanId: mPlanID, locationId: LocationID, repId: RepID, startMs, endMs };
}

function missingField(request: SimulatedRequest, names: readonly string[]): string | null {
  if (request.bodyKind !== 'form') return 'application/x-www-form-urlencoded expected';
  const missing = names.find((name) => request.fields[name] === undefined);
  return missing ? `${missing} is required` : null;
}

function echo(visit: Visit, booking: Booking) {
  return {
    ID: visit.id,
    MVID: visit.mvid,
    ClassName: 'MVScheduledmPlan',
    RecordClassName: 'MVScheduledmPlan',
    Created: utc(visit.createdMs),
    LastEdited: utc(visit.editedMs),
    Start: utc(booking.startMs),
    End: utc(booking.endMs),
    RepID: Number(booking.repId),
    mPlanID: Number(booking.mPlanId),
    LocationID: Number(booking.locationId),
    CreatorID: 90_001,
    LastEditedID: 90_001,
    IsDeleted: '0',
    IsRecurring: '0',
    AllDay: '0',
    PairedWithLogEntry: '0',
    ParentEventID: '0',
    MasterEntityID: '0',
    TimezoneID: 12,
  };
}

function utc(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}+00:00`;
}

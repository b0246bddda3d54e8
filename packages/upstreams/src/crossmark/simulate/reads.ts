/**
 * The reads of the simulated Crossmark. See docs/upstreams/crossmark.md, "Operations" and "Other endpoints, unused".
 */
import { createHash } from 'node:crypto';
import { parseJson } from '@recloser/runtime/values/parse-json';
import { DateTime } from 'luxon';
import {
  dateOfDay,
  dayNumber,
  type SimulatedReply,
  type SimulatedRequest,
  stableHash,
} from '../../simulation/simulation.ts';
import { repById, repName, roster } from './people.ts';
import { catalogueOfDay, type Plan, type PlanItem, planItem } from './plan.ts';
import { jsonReply, notOk } from './replies.ts';

const longestIntervalDays = 400;

/** `GET getPlanningMplans`: `{mplans, total}`, filtered by the terms `mPlanID` and `condition`. */
export function planningList(plan: Plan, request: SimulatedRequest, timezone: string): SimulatedReply {
  const from = dayNumber(request.query.get('intervalStart') ?? '');
  const to = dayNumber(request.query.get('intervalEnd') ?? '');
  if (!(to >= from)) return notOk('intervalStart and intervalEnd are required');
  if (to - from > longestIntervalDays) return notOk('The interval is too long');
  const terms = searchTerms(request.query.get('searchFields'));
  if (!terms) return notOk('searchFields is required');
  const ids = terms.mPlanId ?? [...new Set([...catalogueOfDays(from, to), ...plan.mentionedItems()])];
  const rows = ids
    .filter((id) => /^\d{8}$/.test(id))
    .flatMap((id) => plan.locationsOf(id).map((locationId) => planningRow(plan, id, locationId, timezone)))
    .filter(
      (row) => overlaps(row, from, to) && (!terms.condition || terms.condition.includes(row.condition)),
    );
  const start = Number(request.query.get('start') ?? 0) || 0;
  const limit = Number(request.query.get('limit') ?? 25) || 25;
  return jsonReply({ mplans: rows.slice(start, start + limit), total: rows.length });
}

/** `POST getAvailableReps`, multipart: `{reps}` keyed by rep id, numbers as strings. */
export function availableReps(request: SimulatedRequest): SimulatedReply {
  const stamp = '\\d{2}/\\d{2}/\\d{4} \\d{2}:\\d{2}:\\d{2}';
  if (request.bodyKind !== 'multipart') return notOk('multipart/form-data expected');
  if (!new RegExp(`^${stamp},${stamp}$`).test(request.fields.project ?? ''))
    return notOk('project is required');
  const reps = roster.map((rep, index) => {
    const employeeId = `US${800_000 + Number(rep.id)}`;
    return [
      rep.id,
      {
        id: rep.id,
        repId: rep.id,
        employeeId,
        repMvid: employeeId,
        title: repName(rep.id),
        lastName: rep.lastName,
        nameSort: `${rep.lastName}, ${rep.firstName}`,
        availableHoursPerDay: '8',
        scheduledHours: index % 3 === 0 ? null : String((stableHash(rep.id) % 300) / 10),
        visitCount: String(stableHash(rep.id) % 12),
        ...(index % 5 === 0 ? { role: 'Lead' } : {}),
      },
    ] as const;
  });
  return jsonReply({ reps: Object.fromEntries(reps) });
}

/** `GET getQualifiedRepsForScheduling`: `{reps: [{ID, FirstName, …}]}` by last name. */
export function qualifiedReps(request: SimulatedRequest, timezone: string): SimulatedReply {
  const mPlanId = request.query.get('mPlanID') ?? '';
  const locationId = request.query.get('storeID') ?? '';
  if (!isItem(mPlanId, locationId)) return notOk('mPlanID and storeID are required');
  const limit = Number(request.query.get('limit') ?? 25) || 25;
  const reps = roster
    .filter((rep) => stableHash(`${mPlanId}${rep.id}`) % 4 !== 0)
    .sort((a, b) => a.lastName.localeCompare(b.lastName))
    .slice(0, limit)
    .map((rep) => ({
      ID: rep.id,
      FirstName: rep.firstName,
      LastName: rep.lastName,
      Timezone: timezone,
      OfflineHash: createHash('md5').update(`simulated ${rep.id}`).digest('hex'),
    }));
  return jsonReply({ reps });
}

/** `POST getmPlanLocationCondition`, form: condition and rep names of one item at one location. */
export function locationCondition(plan: Plan, request: SimulatedRequest, timezone: string): SimulatedReply {
  const { mPlanID = '', storeID = '' } = request.fields;
  if (request.bodyKind !== 'form' || !isItem(mPlanID, storeID))
    return notOk('mPlanID and storeID are required');
  const row = planningRow(plan, mPlanID, storeID, timezone);
  return jsonReply({
    ok: 1,
    reps: row.staffedReps,
    condition: row.condition,
    key: `${mPlanID}_${storeID}`,
    workStatus: '',
  });
}

/** True for an 8-digit item and a 6-digit location. */
export function isItem(mPlanId: string, locationId: string): boolean {
  return /^\d{8}$/.test(mPlanId) && /^\d{6}$/.test(locationId);
}

function planningRow(plan: Plan, mPlanId: string, locationId: string, timezone: string) {
  const item = planItem(mPlanId);
  const visits = plan.visible(mPlanId, locationId);
  const last = visits.at(-1);
  const rep = last ? repById(last.booking.repId) : null;
  const unstaffed = plan.isReissued(mPlanId, locationId) ? 'Reissued' : 'Unstaffed';
  return {
    mPlanID: mPlanId,
    name: item.name,
    storeID: locationId,
    storeName: `Simulated Club ${8000 + (stableHash(locationId) % 900)}`,
    storeNumber: String(8000 + (stableHash(locationId) % 900)),
    startDate: slashDate(item.startDate),
    endDate: slashDate(item.endDate),
    scheduleDate: last ? slashTime(last.booking.startMs, timezone) : looseDate(item),
    condition: last ? 'Scheduled' : unstaffed,
    staffedReps: visits.map((visit) => repName(visit.booking.repId)).join(', '),
    scheduleRepID: last ? last.booking.repId : '',
    scheduleEventID: last ? String(last.id) : '',
    RepFirstName: rep?.firstName ?? '',
    RepLastName: rep?.lastName ?? '',
    workStatus: '',
    IsSubmitted: '0',
    city: 'Springfield',
    state: 'IN',
    salesTools: [{ salesToolURL: `https://salestools.example/instructions/${mPlanId}.pdf` }],
  };
}

type Row = ReturnType<typeof planningRow>;

function overlaps(row: Row, from: number, to: number): boolean {
  const day = (slashed: string) => dayNumber(slashed.replace(/^(\d{2})\/(\d{2})\/(\d{4}).*$/, '$3-$1-$2'));
  const booked = row.scheduleEventID === '' ? Number.NaN : day(row.scheduleDate);
  return (day(row.startDate) <= to && day(row.endDate) >= from) || (booked >= from && booked <= to);
}

function catalogueOfDays(from: number, to: number): string[] {
  const ids: string[] = [];
  // Items last up to four days, so some that began before `from` overlap.
  for (let day = from - 3; day <= to; day += 1) ids.push(...catalogueOfDay(day));
  return ids;
}

type Terms = { mPlanId: string[] | null; condition: string[] | null };

function searchTerms(text: string | null): Terms | null {
  const parsed = parseJson(text ?? '') as { searchTerms?: Record<string, unknown> } | null | undefined;
  const terms = parsed?.searchTerms;
  if (typeof terms !== 'object' || terms === null) return null;
  return { mPlanId: termValues(terms.mPlanID), condition: termValues(terms.condition) };
}

function termValues(term: unknown): string[] | null {
  const items = (term as { items?: { value?: unknown }[] } | undefined)?.items;
  if (!Array.isArray(items) || items.length === 0) return null;
  return items.flatMap((item) => item?.value ?? []).map(String);
}

function looseDate(item: PlanItem): string {
  return item.looseDate ? `${slashDate(item.looseDate)} 09:00:00 AM` : '';
}

function slashDate(date: string): string {
  const day = dateOfDay(dayNumber(date));
  return `${day.slice(5, 7)}/${day.slice(8, 10)}/${day.slice(0, 4)}`;
}

function slashTime(ms: number, timezone: string): string {
  return DateTime.fromMillis(ms, { zone: timezone, locale: 'en-US' }).toFormat('MM/dd/yyyy hh:mm:ss a');
}

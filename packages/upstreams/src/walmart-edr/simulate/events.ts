/**
 * The events of the simulated Retail Link, derived from the event's id. See docs/upstreams/walmart-edr.md,
 * "Operations". Ids that begin with 9 are unknown. Ids that end in 0 have `itemDetails: null`.
 */
import {
  dateOfDay,
  dayNumber,
  type SimulatedReply,
  type SimulatedRequest,
  stableHash,
} from '../../simulation/simulation.ts';
import { jsonReply } from './replies.ts';

const clubCount = 600;
const eventsPerDay = 3;
const firstEvent = 100_000;
const recentDays = { from: dayNumber('2022-01-01'), to: dayNumber('2035-01-01') };
const statusTexts: Record<number, string> = { 1: 'REQUESTED', 2: 'APPROVED', 4: 'PERFORMED' };

/** `GET edrReport?id=`: the report; 404 for an unknown id, 400 for a malformed one. */
export function edrReport(request: SimulatedRequest): SimulatedReply {
  const id = request.query.get('id') ?? '';
  if (!/^\d{6}$/.test(id))
    return jsonReply({ status: 400, message: 'id must have 6 digits' }, { status: 400 });
  if (id.startsWith('9')) return jsonReply({ status: 404, message: 'Event not found' }, { status: 404 });
  return jsonReply(reportOf(id));
}

/** `POST browse-data`: a flat array, one row per event and item. */
export function browseData(request: SimulatedRequest): SimulatedReply {
  const body = (request.json ?? {}) as Record<string, unknown>;
  const from = typeof body.startDate === 'string' ? dayNumber(body.startDate) : Number.NaN;
  const to = typeof body.endDate === 'string' ? dayNumber(body.endDate) : Number.NaN;
  const types = Array.isArray(body.eventType) && body.eventType.every(Number.isInteger) ? body.eventType : [];
  const nulls = ['itemNbr', 'vendorNbr', 'billType', 'userId', 'primItem', 'deptNbr'];
  const complete = to >= from && to - from <= 400 && types.length > 0 && typeof body.storeNbr === 'string';
  if (!complete || nulls.some((name) => body[name] === undefined)) {
    return jsonReply({ status: 400, message: 'Invalid browse request' }, { status: 400 });
  }
  const rows = [];
  for (let day = from; day <= to; day += 1) {
    for (const id of eventsOfDay(day)) if (types.includes(classOf(id))) rows.push(...browseRows(id));
  }
  return jsonReply(rows);
}

function eventsOfDay(day: number): string[] {
  if (day < recentDays.from || day >= recentDays.to) return [];
  return Array.from({ length: eventsPerDay }, (_, index) => String(firstEvent + day * 10 + index));
}

function dateOfEvent(id: string): string {
  const day = Math.floor((Number(id) - firstEvent) / 10);
  const browsed = day >= recentDays.from && day < recentDays.to;
  return dateOfDay(browsed ? day : dayNumber('2025-01-01') + (stableHash(id) % 700));
}

function classOf(id: string): number {
  const classes = [1, 3, 3, 5, 45];
  return classes[stableHash(id) % classes.length] ?? 3;
}

function statusOf(id: string): number {
  return [1, 2, 4][stableHash(id) % 3] ?? 2;
}

function nameOf(id: string): string {
  return `SIMULATED DEMO ${stableHash(id) % 997}`;
}

function itemsOf(id: string) {
  const hash = stableHash(id);
  return Array.from({ length: 1 + (hash % 3) }, (_, index) => {
    const itemNbr = 100_000_000 + ((hash + index * 7919) % 899_999_999);
    return {
      itemNbr,
      gtin: 10_000_000_000 + (stableHash(`${id}/${index}`) % 4_000_000_000),
      itemDesc: `SIMULATED ITEM ${index + 1}`,
      vendorNbr: 100_000 + (hash % 900_000),
      vendorDesc: 'SIMULATED VENDOR',
      deptNbr: 1 + (hash % 98),
      deptDesc: 'SIMULATED DEPT',
      primaryItemNbr: itemNbr,
      primaryItemCode: 1,
      featuredItemInd: index === 0 ? 'Y' : 'N',
      reportOnInd: 'Y',
      billToVndrId: 100_000 + (hash % 900_000),
      billToVndrDesc: 'SIMULATED VENDOR',
      demoCost: 0,
      demoId: Number(id),
    };
  });
}

function reportOf(id: string) {
  const hash = stableHash(id);
  const date = dateOfEvent(id);
  return {
    demoId: Number(id),
    demoName: nameOf(id).padEnd(100),
    demoDate: date,
    performByDate: date,
    demoClassCode: classOf(id),
    demoStatusCode: statusOf(id),
    demoBillTypeCd: 1,
    duratnHrQty: 6,
    demoFeeAmt: 0,
    demoCost: 0,
    targetTimeCode: 1,
    targetClubCnt: clubCount,
    billToVendorId: 100_000 + (hash % 900_000),
    deptNbr: 1 + (hash % 98),
    demoLockInd: 'N',
    manualBillInd: false,
    countryCode: 'US',
    hoInstruction: '',
    clubInstruction: '',
    lastChangeUserid: 'simuser',
    demoInstructions: null,
    itemDetails: id.endsWith('0') ? null : itemsOf(id),
    clubDetails: clubsOf(id, date),
    historyDetails: Array.from({ length: 10 + (hash % 46) }, (_, index) => ({
      activityTs: `${date}T00:${String(index).padStart(2, '0')}:00`,
      actionText: 'UPDATED',
      sectionText: 'EVENT',
      userId: 'simuser',
    })),
    demoComment: [],
  };
}

function clubsOf(id: string, date: string) {
  const demoStatusCode = statusOf(id);
  return Array.from({ length: clubCount }, (_, index) => ({
    storeNbr: 8000 + index,
    scheduledDate: date,
    demoStatusCode,
    demoStatusDesc: statusTexts[demoStatusCode] ?? 'NEW',
  }));
}

function browseRows(id: string) {
  return itemsOf(id).map((item) => ({
    eventId: Number(id),
    eventType: `TYPE ${classOf(id)}`,
    eventDate: dateOfEvent(id),
    billType: 'SIMULATED',
    eventStatus: statusTexts[statusOf(id)] ?? 'NEW',
    lockDate: 'false',
    eventFee: 0,
    itemNbr: item.itemNbr,
    featuredItemInd: item.featuredItemInd,
    itemDesc: item.itemDesc,
    upcNbr: item.gtin,
    deptNbr: item.deptNbr,
    deptDesc: item.deptDesc,
    vendorNbr: item.vendorNbr,
    vendorDesc: item.vendorDesc,
    vendorBilledNbr: item.billToVndrId,
    vendorBilledDesc: item.billToVndrDesc,
    targetClubCnt: clubCount,
    subCatNbr: 1,
    subCatDesc: 'SIMULATED',
    eventName: nameOf(id),
    country: 'US',
    lastChangeUser: 'simuser',
    claimNbr: [],
  }));
}

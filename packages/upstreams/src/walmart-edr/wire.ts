/**
 * Walmart EDR's own requests and answers, and how they become ours.
 *
 * Always true: an answer is believed only after it passed a schema here; ids leave as strings, texts leave
 * trimmed; clubs, history, fees, costs, claim numbers and user ids never leave this file.
 */
import { parseJson } from '@recloser/runtime/values/parse-json';
import { z } from 'zod';
import type { BrowseEventsInput, BrowseEventsResult, GetReportResult } from './definition.ts';

/** Ids come as numbers here and as strings there; absent and blank ones become null. */
const id = z
  .union([z.int(), z.string()])
  .nullish()
  .transform((value) => blankToNull(value));
/** Texts come padded with blanks (names to 100 characters). */
const text = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => blankToNull(value));
const requiredId = z.union([z.int(), z.string().trim().min(1)]).transform((value) => String(value));
const requiredText = z.string().trim();

const item = z
  .object({ itemNbr: requiredId, gtin: id, itemDesc: text, vendorNbr: id, deptNbr: id })
  .transform(({ itemNbr, gtin, itemDesc, vendorNbr, deptNbr }) => ({
    itemNbr,
    gtin,
    itemDesc,
    vendorNbr,
    deptNbr,
  }));

const instructions = z.object({ demoPrepnTxt: text, demoPortnTxt: text }).nullish();

/** Answer of `GET /EventManagement/api/edrReport`, already turned into our result. */
export const edrReport = z
  .object({
    demoId: requiredId,
    demoName: requiredText,
    demoDate: z.iso.date(),
    demoClassCode: z.int().nullish(),
    demoStatusCode: z.int(),
    demoLockInd: text,
    demoInstructions: instructions,
    // Null for events without items, which crashed renderers that expected a list.
    itemDetails: z.array(item).nullish(),
  })
  .transform(
    (report): GetReportResult => ({
      demoId: report.demoId,
      demoName: report.demoName,
      demoDate: report.demoDate,
      demoClassCode: report.demoClassCode ?? null,
      demoStatusCode: report.demoStatusCode,
      demoLockInd: report.demoLockInd,
      demoInstructions: report.demoInstructions ?? null,
      items: report.itemDetails ?? [],
    }),
  );

/** `lockDate` is not a date: it holds "true" or "false". Absent or blank counts as not locked. */
const lockDate = z
  .union([
    z.boolean(),
    z
      .string()
      .trim()
      .toLowerCase()
      .pipe(z.enum(['true', 'false', ''])),
  ])
  .nullish()
  .transform((value) => value === true || value === 'true');

const browseRow = z
  .object({
    eventId: requiredId,
    eventType: text,
    eventName: text,
    eventDate: requiredText.min(1),
    eventStatus: text,
    lockDate,
    itemNbr: id,
    itemDesc: text,
    featuredItemInd: text,
    upcNbr: id,
    deptNbr: id,
    deptDesc: text,
    vendorNbr: id,
    vendorDesc: text,
    subCatNbr: id,
    subCatDesc: text,
    country: text,
  })
  .transform(({ lockDate: locked, ...row }) => ({ ...row, locked }));

/** Answer of `POST /EventManagement/api/browse-event/browse-data`, already turned into our result. */
export const browseData = z.array(browseRow).transform((rows): BrowseEventsResult => ({ rows }));

/** Codes asked for when the caller names none: what the browser sends, 1 and 3 to 45. */
const allEventTypes: readonly number[] = [1, ...Array.from({ length: 43 }, (_, index) => index + 3)];

/**
 * True when a JSON answer to `edrReport` says that there is no such event. What Walmart really answers is
 * not recorded, so every plain form counts: nothing, an empty object or list, a null id, a text that says so.
 */
export function saysUnknownEvent(body: unknown): boolean {
  if (body === null || (Array.isArray(body) && body.length === 0)) return true;
  const answer = unknownEvent.safeParse(body);
  if (!answer.success || answer.data.demoId) return false;
  const { demoId, message, error } = answer.data;
  if (demoId === null || Object.keys(body as object).length === 0) return true;
  return /not found|no (such|data|record|event|report)|does not exist|(unknown|invalid) (id|demo|event|report)/i.test(
    `${message ?? ''} ${error ?? ''}`,
  );
}

const unknownEvent = z.object({
  demoId: z.union([z.number(), z.string()]).nullish(),
  message: z.string().nullish().catch(null),
  error: z.string().nullish().catch(null),
});

/** Body of `POST /EventManagement/api/browse-event/browse-data`; the nulls are part of the protocol. */
export function browseRequest(input: BrowseEventsInput): Record<string, unknown> {
  return {
    startDate: input.startDate,
    endDate: input.endDate,
    eventType: [...(input.eventTypes ?? allEventTypes)],
    storeNbr: input.storeNumber,
    itemNbr: null,
    vendorNbr: null,
    billType: null,
    userId: null,
    primItem: null,
    deptNbr: null,
  };
}

/** The bearer token of the app and when it ends (ms epoch; null: it does not say). */
export type AppToken = { readonly token: string; readonly expiresAt: number | null };

const tokenRecord = z.object({ token: z.string().min(1) });

/** Reads the app token out of the `auth-token` cookie's value (URL-encoded JSON), or null. */
export function readTokenCookie(value: string): AppToken | null {
  try {
    return readTokenRecord(JSON.parse(decodeURIComponent(value)));
  } catch {
    return null;
  }
}

/** Reads the app token out of the body of `/EventManagement/api/authenticate` (`{token, …}`), or null. */
export function readTokenRecord(body: unknown): AppToken | null {
  const record = tokenRecord.safeParse(body);
  if (!record.success) return null;
  const { token } = record.data;
  return { token, expiresAt: jwtExpiry(token) };
}

const jwtClaims = z.object({ exp: z.number().positive() });

/** `exp` of a JWT in ms, or null. Its signature is Walmart's business: we only want to know when to stop. */
function jwtExpiry(token: string): number | null {
  const payload = token.split('.')[1];
  if (!payload) return null;
  const claims = jwtClaims.safeParse(parseJson(Buffer.from(payload, 'base64url').toString('utf8')));
  return claims.success ? claims.data.exp * 1_000 : null;
}

function blankToNull(value: string | number | null | undefined): string | null {
  const trimmed = String(value ?? '').trim();
  return trimmed === '' ? null : trimmed;
}

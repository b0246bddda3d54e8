/**
 * Schemas of Walmart EDR's requests and answers. Ids become strings, and texts are trimmed. Clubs, history, fees,
 * costs, claim numbers and user ids are dropped.
 */
import { parseJson } from '@recloser/runtime/values/parse-json';
import { z } from 'zod';
import type { BrowseEventsInput, BrowseEventsResult, GetReportResult } from './definition.ts';

/** Ids are numbers or strings. Absent and blank ones become null. */
const id = z
  .union([z.int(), z.string()])
  .nullish()
  .transform((value) => blankToNull(value));
/** Texts are padded with blanks (names to 100 characters). */
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

/** Answer of `GET /EventManagement/api/edrReport`, converted to our result. */
export const edrReport = z
  .object({
    demoId: requiredId,
    demoName: requiredText,
    demoDate: z.iso.date(),
    demoClassCode: z.int().nullish(),
    demoStatusCode: z.int(),
    demoLockInd: text,
    demoInstructions: instructions,
    // Null for events without items.
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

/** `lockDate` is not a date but "true" or "false". Absent or blank means not locked. */
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

/** Answer of `POST /EventManagement/api/browse-event/browse-data`, converted to our result. */
export const browseData = z.array(browseRow).transform((rows): BrowseEventsResult => ({ rows }));

/** The default codes, as the browser sends them: 1 and 3 to 45. */
const allEventTypes: readonly number[] = [1, ...Array.from({ length: 43 }, (_, index) => index + 3)];

/**
 * True if a JSON answer to `edrReport` means that the event does not exist. Walmart's real answer is not recorded, so
 * every plausible form counts: null, an empty object or list, a null id, a message that says so.
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

/** Body of `POST /EventManagement/api/browse-event/browse-data`. The nulls are required. */
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

/** The app's bearer token and its expiry (ms since the epoch, null if unknown). */
export type AppToken = { readonly token: string; readonly expiresAt: number | null };

const tokenRecord = z.object({ token: z.string().min(1) });

/** Parses the value of the `auth-token` cookie (URL-encoded JSON). Null if malformed. */
export function readTokenCookie(value: string): AppToken | null {
  try {
    return readTokenRecord(JSON.parse(decodeURIComponent(value)));
  } catch {
    return null;
  }
}

/** Parses the body of `/EventManagement/api/authenticate` (`{token, …}`). Null if malformed. */
export function readTokenRecord(body: unknown): AppToken | null {
  const record = tokenRecord.safeParse(body);
  if (!record.success) return null;
  const { token } = record.data;
  return { token, expiresAt: jwtExpiry(token) };
}

const jwtClaims = z.object({ exp: z.number().positive() });

/** `exp` of a JWT in ms, or null. The signature is not checked. */
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

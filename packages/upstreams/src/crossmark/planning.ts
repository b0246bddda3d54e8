/** Reads all pages of the planning list. See docs/upstreams/crossmark.md, "List the planning". */
import type { Exchange } from '../http/http.ts';
import type { SignedOut } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import { classifyRead, type ReadValue } from './classify.ts';
import { outcomes } from './outcome-codes.ts';
import { type Draft, type Place, type PlanningQuery, planningRequest } from './requests.ts';
import { type PlanningRecord, planningAnswer } from './wire.ts';

export type SendRead = (draft: Draft) => Promise<Exchange>;

/** All rows, and the total that Crossmark reports. */
export type PlanningList = { readonly rows: readonly PlanningRecord[]; readonly total: number };

const maxPages = 100;

/** Reads all pages of `query`. A list shorter than announced is a `retry`. */
export async function readPlanning(
  send: SendRead,
  place: Place,
  query: Omit<PlanningQuery, 'page'>,
): Promise<ReadValue<PlanningList> | SignedOut | FailedOutcome> {
  const rows = new Map<string, PlanningRecord>();
  let received = 0;
  for (let page = 1; page <= maxPages; page += 1) {
    const exchange = await send(planningRequest(place, { ...query, page }));
    const read = classifyRead(exchange, planningAnswer, Date.now());
    if (read.kind !== 'value') return read;
    const { value, status } = read;
    const knownBefore = rows.size;
    for (const row of value.rows) rows.set(JSON.stringify(row), row);
    received += value.rows.length;
    // Without a total only a page that is not full is the last one.
    const isLast = value.total === null ? value.rows.length < query.limit : received >= value.total;
    if (isLast) {
      return { kind: 'value', value: { rows: [...rows.values()], total: value.total ?? received }, status };
    }
    // Nothing new: Crossmark repeated the page, or has no more rows.
    if (rows.size === knownBefore) break;
  }
  return outcomes.retry('up', { code: 'incomplete_list' });
}

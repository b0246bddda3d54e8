/**
 * Refuses items of a batch that is repeated with the same `Idempotency-Key` but with other items or in another order.
 * The key applies to items by position, so without this check an item that moved would be stored a second time.
 */
import { readClaim } from '@recloser/calls/write/enqueue';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { WebDeps } from '../http/web-deps.ts';
import { batchItemsMost, placeKey } from './batch-body.ts';
import type { Prepared } from './intake.ts';

/** The client and the `Idempotency-Key` of the batch. */
type Batch = { readonly scope: string; readonly key: string | undefined };
type Claim = Awaited<ReturnType<typeof readClaim>>;

/** The problems of the refused items, by position. Rejects if Redis fails. */
export async function refuseMovedItems(
  deps: WebDeps,
  batch: Batch,
  items: readonly Prepared[],
): Promise<ReadonlyMap<number, ApiResponse>> {
  const sent = new Map(
    items.flatMap(({ claim, place }) =>
      claim && place !== undefined ? [[place, claim.fingerprint] as const] : [],
    ),
  );
  const taken = await readPlaces(deps, batch, [...sent.keys()]);
  // The batch is new.
  if (taken.every((claim) => claim === null)) return new Map();
  const first = await readPlaces(deps, batch, [...Array(batchItemsMost).keys()]);
  const placesOf = Map.groupBy(first.keys(), (place) => first[place]?.fingerprint);
  const refusals = new Map<number, ApiResponse>();
  for (const [place, fingerprint] of sent) {
    const held = first[place];
    if (held?.fingerprint === fingerprint) continue;
    const before = placesOf.get(fingerprint) ?? [];
    // An equal item that is still in its old position is a different call on purpose.
    const moved = before.find((at) => sent.get(at) !== fingerprint) ?? (held ? before[0] : undefined);
    if (moved !== undefined) refusals.set(place, movedProblem(moved, first[moved]?.id ?? ''));
    else if (held) refusals.set(place, otherProblem(place));
  }
  return refusals;
}

function readPlaces(
  { redis, prefix }: WebDeps,
  { scope, key }: Batch,
  places: readonly number[],
): Promise<Claim[]> {
  if (key === undefined) return Promise.resolve([]);
  return Promise.all(places.map((place) => readClaim(redis, prefix, { scope, key: placeKey(key, place) })));
}

const differs = 'This batch differs from the first batch with this Idempotency-Key.';
const keepKeys =
  'To retry a batch, send it unchanged. If your batches change between retries, give each item an idempotencyKey from the first request on.';

function movedProblem(place: number, id: string): ApiResponse {
  return problem('idempotency_key_reused', {
    detail: `${differs} This item was in place ${place} of that batch and is call ${id}. It was not stored again. ${keepKeys}`,
    more: { id, place, links: { self: `/v1/calls/${id}` } },
  });
}

function otherProblem(place: number): ApiResponse {
  return problem('idempotency_key_reused', {
    detail: `${differs} Another item was in place ${place} of that batch, which did not contain this item. This item was not stored. Send it in a batch with another Idempotency-Key, or give it an idempotencyKey. ${keepKeys}`,
  });
}

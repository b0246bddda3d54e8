/**
 * A batch that is sent again under its `Idempotency-Key` with other items or in another order: its items are keyed by
 * their place, so one that moved would not be recognised and stored once more.
 *
 * Always true: an item of the batch that came first is not stored under another place, and nobody is advised to send
 * again what is stored already.
 */
import { readClaim } from '@recloser/calls/write/enqueue';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { WebDeps } from '../http/web-deps.ts';
import { batchItemsMost, placeKey } from './batch-body.ts';
import type { Prepared } from './intake.ts';

/** Who sends it, and the key of the whole batch. */
type Batch = { readonly scope: string; readonly key: string | undefined };
type Claim = Awaited<ReturnType<typeof readClaim>>;

/** The problems of the items that must not be stored, by their place. Rejects when Redis fails. */
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
  // It comes for the first time.
  if (taken.every((claim) => claim === null)) return new Map();
  const first = await readPlaces(deps, batch, [...Array(batchItemsMost).keys()]);
  const placesOf = Map.groupBy(first.keys(), (place) => first[place]?.fingerprint);
  const refusals = new Map<number, ApiResponse>();
  for (const [place, fingerprint] of sent) {
    const held = first[place];
    if (held?.fingerprint === fingerprint) continue;
    const before = placesOf.get(fingerprint) ?? [];
    // An equal item in a place of its own is meant to be another call.
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

const differs = 'The batch is not the one that was first sent with this Idempotency-Key.';
const keepKeys =
  'To repeat a batch, send it unchanged. If your batches change between repeats, give each item an idempotencyKey from the first time on.';

function movedProblem(place: number, id: string): ApiResponse {
  return problem('idempotency_key_reused', {
    detail: `${differs} This item was in place ${place} of that batch, as call ${id}, and was not stored again. ${keepKeys}`,
    more: { id, place, links: { self: `/v1/calls/${id}` } },
  });
}

function otherProblem(place: number): ApiResponse {
  return problem('idempotency_key_reused', {
    detail: `${differs} Another item was in place ${place}; this item was in no place of that batch and was not stored. Send it in a batch with another Idempotency-Key, or with an idempotencyKey of its own. ${keepKeys}`,
  });
}

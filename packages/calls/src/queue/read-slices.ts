/**
 * Reads long lists and sorted sets a slice at a time, so that no single answer keeps everybody else waiting for Redis.
 *
 * Always true: what stays in its place meanwhile comes once; what is added or moves may come twice or not at all.
 */
import type { Redis } from '@recloser/runtime/redis/connection';

/** Members read by one command at most: well below a millisecond of Redis. */
export const sliceSize = 1_000;

/** A member of a sorted set and its score. */
export type Scored = { readonly id: string; readonly score: number };

/** The members with scores from `max` down to `min` (bounds as Redis writes them), highest score first. */
export async function* setSlices(
  redis: Redis,
  key: string,
  { max = '+inf', min = '-inf' }: { readonly max?: string; readonly min?: string } = {},
): AsyncGenerator<readonly Scored[]> {
  let from = max;
  // How many of the score we go on from have come already: many may share one.
  let seen = 0;
  for (;;) {
    const flat = await redis.zrevrangebyscore(key, from, min, 'WITHSCORES', 'LIMIT', seen, sliceSize);
    const slice: Scored[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      slice.push({ id: flat[i] as string, score: Number(flat[i + 1]) });
    }
    if (slice.length > 0) yield slice;
    if (slice.length < sliceSize) return;
    const last = flat.at(-1) as string;
    const tied = slice.filter(({ score }) => score === Number(last)).length;
    seen = last === from ? seen + tied : tied;
    from = last;
  }
}

/** The entries of a list from its left end. */
export async function* listSlices(redis: Redis, key: string): AsyncGenerator<readonly string[]> {
  for (let first = 0; ; first += sliceSize) {
    const slice = await redis.lrange(key, first, first + sliceSize - 1);
    if (slice.length > 0) yield slice;
    if (slice.length < sliceSize) return;
  }
}

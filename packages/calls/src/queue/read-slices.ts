/**
 * Reads long lists and sorted sets in slices, so that no single command blocks Redis for long. A member that is added
 * or moves during the read may be returned twice or not at all.
 */
import type { Redis } from '@recloser/runtime/redis/connection';

/** Maximum number of members per command, which takes Redis well below a millisecond. */
export const sliceSize = 1_000;

export type Scored = { readonly id: string; readonly score: number };

/** Reads the members with scores from `max` down to `min`, which are bounds in Redis' syntax. */
export async function* setSlices(
  redis: Redis,
  key: string,
  { max = '+inf', min = '-inf' }: { readonly max?: string; readonly min?: string } = {},
): AsyncGenerator<readonly Scored[]> {
  let from = max;
  // Several members may share the score `from`. `seen` of them have been returned.
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

/** Reads a list from its left end. */
export async function* listSlices(redis: Redis, key: string): AsyncGenerator<readonly string[]> {
  for (let first = 0; ; first += sliceSize) {
    const slice = await redis.lrange(key, first, first + sliceSize - 1);
    if (slice.length > 0) yield slice;
    if (slice.length < sliceSize) return;
  }
}

/**
 * A queue as full as a long outage leaves it, in seconds instead of minutes: one job is stored the usual way and then
 * copied inside Redis, field by field and into the same place in the line.
 *
 * Always true: what is copied is exactly what the code under test had stored; only id, time and place differ.
 */
import type { Redis } from 'ioredis';

/** A BullMQ queue's keys all begin with `keyStart`, e.g. `recloser:{crossmark}:crossmark:`. */
export type FillTarget = { readonly redis: Redis; readonly keyStart: string };

/** A copy to make: accepted at `atMs`, since 1970. */
type Copy = { readonly id: string; readonly atMs: number };

const atOnce = 2_500;

// The line is `prioritized` for jobs with a priority and `wait` for those without, as BullMQ keeps them.
const copyScript = `
local start, sample = ARGV[1], ARGV[2]
local priority = tonumber(redis.call('HGET', start .. sample, 'priority')) or 0
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  redis.call('COPY', start .. sample, start .. id)
  redis.call('HSET', start .. id, 'timestamp', ARGV[i + 1])
  if priority > 0 then
    local place = redis.call('INCR', start .. 'pc') % 0x100000000
    redis.call('ZADD', start .. 'prioritized', string.format('%.0f', priority * 0x100000000 + place), id)
  else
    redis.call('LPUSH', start .. 'wait', id)
  end
end
return redis.call('ZCARD', start .. 'prioritized') + redis.call('LLEN', start .. 'wait')
`;

/** Copies the waiting job `sample` until `count` jobs wait; `copyOf(n)` names each. Returns how many wait then. */
export async function fillBacklog(
  { redis, keyStart }: FillTarget,
  { sample, count, copyOf }: { sample: string; count: number; copyOf: (n: number) => Copy },
): Promise<number> {
  let waiting = (await redis.zcard(`${keyStart}prioritized`)) + (await redis.llen(`${keyStart}wait`));
  while (waiting < count) {
    const copies = Array.from({ length: Math.min(atOnce, count - waiting) }, (_, i) => copyOf(waiting + i));
    const flat = copies.flatMap(({ id, atMs }) => [id, atMs]);
    waiting = Number(await redis.eval(copyScript, 0, keyStart, sample, ...flat));
  }
  return waiting;
}

/** An id like `sample`, a call's, that was accepted at `atMs`; `n` (to 2^24) makes it the only one. */
export function callIdAt(sample: string, atMs: number, n: number): string {
  const hex = Math.floor(atMs).toString(16).padStart(12, '0');
  const rest = sample.slice(-23, -6);
  return `${sample.slice(0, -36)}${hex.slice(0, 8)}-${hex.slice(8)}${rest}${n.toString(16).padStart(6, '0')}`;
}

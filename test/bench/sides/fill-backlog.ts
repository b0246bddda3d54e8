/**
 * Fills a queue like a long outage does, in seconds: copies one stored job inside Redis. Each copy differs from the
 * original only in its id, time and place in the queue.
 */
import type { Redis } from 'ioredis';

/** `keyStart` is the common prefix of a BullMQ queue's keys, such as `recloser:{crossmark}:crossmark:`. */
export type FillTarget = { readonly redis: Redis; readonly keyStart: string };

/** A copy to make. `atMs` is its acceptance time. */
type Copy = { readonly id: string; readonly atMs: number };

const atOnce = 2_500;

// BullMQ keeps jobs with a priority in `prioritized`, and others in `wait`.
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

/** Copies the waiting job `sample` until `count` jobs wait. Returns how many wait. */
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

/** Returns a call id like `sample` for a call accepted at `atMs`. `n` (below 2^24) makes it unique. */
export function callIdAt(sample: string, atMs: number, n: number): string {
  const hex = Math.floor(atMs).toString(16).padStart(12, '0');
  const rest = sample.slice(-23, -6);
  return `${sample.slice(0, -36)}${hex.slice(0, 8)}-${hex.slice(8)}${rest}${n.toString(16).padStart(6, '0')}`;
}

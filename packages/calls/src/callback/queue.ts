/**
 * The way from "a call has ended" to "its callback is in the queue for callbacks".
 *
 * Before a call with a callback is stored, its id is put into the upstream's set of callbacks (`…:callbacks`,
 * id → the end that was announced last, ms since 1970, 0 for none). Whoever sees a call end announces it; a
 * sweep over the set finds every end that nobody announced, whatever ended the call and whoever died.
 *
 * Always true: an end is announced at least once; the job's id is made of the call's id and the time of its
 * end, so announcing it again adds nothing. A call that a person retries has another end and is announced anew.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { JobsOptions, Queue } from 'bullmq';
import { z } from 'zod';
import { timeOfCallId } from '../call/id.ts';
import { callbacksKey } from '../call/keys.ts';

/** Data of a callback's job. Its id is the `webhook-id`. */
export const callbackJobSchema = z.looseObject({
  v: z.literal(1),
  upstream: z.string(),
  callId: z.string(),
  /** The end of the call that this announces, ms since 1970. */
  finishedMs: z.number(),
  url: z.string(),
  /** The body as it was first sent, sealed: kept once a delivery has failed, so that every repeat is the same. */
  sealedBody: z.string().optional(),
});

export type CallbackJob = z.infer<typeof callbackJobSchema>;

/** One upstream's calls, as announcing needs them. */
export type CallbackSource = {
  readonly upstream: string;
  readonly root: string;
  readonly queue: Pick<Queue, 'getJob' | 'toKey'>;
};

type EndedCall = { readonly id: string; readonly finishedMs: number };

/** A marker without a call is believed to be on its way to one for so long. */
const arrivalMs = 15 * 60 * 1000;
const batchSize = 500;
const daySeconds = 24 * 60 * 60;

/** Name and key prefix of the queue for callbacks: one for all upstreams, never paused by their breakers. */
export function callbackQueueOptions(prefix: string): { name: string; prefix: string } {
  return { name: 'callbacks', prefix: `${prefix}:{callbacks}` };
}

/** Notes that these calls want a callback. To be done before they are stored; rejects when Redis fails. */
export async function noteCallbacks(redis: Redis, root: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await redis.zadd(callbacksKey(root), 'NX', ...ids.flatMap((id) => [0, id]));
}

/**
 * Puts the callback of each named call that has ended, and whose end was not announced yet, into the queue.
 * @param attempts how often a delivery is tried
 */
export async function announceEnds(options: {
  readonly redis: Redis;
  readonly source: CallbackSource;
  readonly ids: readonly string[];
  readonly callbacks: Pick<Queue, 'add'>;
  readonly attempts: number;
}): Promise<{ readonly announced: number; readonly lost: number }> {
  const { redis, source, ids } = options;
  const { ended, missing } = await readEnds(redis, source, ids);
  let announced = 0;
  for (const call of ended) if (await announce(options, call)) announced += 1;
  const lost = await forget(redis, source, missing);
  return { announced, lost };
}

/** Announces every end of an upstream's calls that nobody has announced. */
export async function sweepEnds(
  options: Omit<Parameters<typeof announceEnds>[0], 'ids'>,
): Promise<{ readonly announced: number; readonly lost: number }> {
  const { redis, source } = options;
  const total = { announced: 0, lost: 0 };
  let cursor = '0';
  do {
    const [next, members] = await redis.zscan(callbacksKey(source.root), cursor, 'COUNT', batchSize);
    cursor = next;
    const ids = members.filter((_, index) => index % 2 === 0);
    const { announced, lost } = await announceEnds({ ...options, ids });
    total.announced += announced;
    total.lost += lost;
  } while (cursor !== '0');
  return total;
}

// KEYS: the set, completed, failed, then the job of each id. BullMQ's score is the time of the end in ms.
const endsScript = `
local found = {}
for index, id in ipairs(ARGV) do
  local announced = redis.call('ZSCORE', KEYS[1], id)
  local at = redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[3], id)
  if announced and at and tonumber(at) ~= tonumber(announced) then
    found[#found + 1] = {id, at, announced}
  elseif announced and not at and redis.call('EXISTS', KEYS[3 + index]) == 0 then
    found[#found + 1] = {id, '', announced}
  end
end
return found
`;

type Missing = { readonly id: string; readonly announced: boolean };

async function readEnds(
  redis: Redis,
  { root, queue }: CallbackSource,
  ids: readonly string[],
): Promise<{ ended: EndedCall[]; missing: Missing[] }> {
  if (ids.length === 0) return { ended: [], missing: [] };
  const keys = [callbacksKey(root), ...['completed', 'failed', ...ids].map((part) => queue.toKey(part))];
  const found = (await redis.eval(endsScript, keys.length, ...keys, ...ids)) as [string, string, string][];
  return {
    ended: found.flatMap(([id, at]) => (at === '' ? [] : [{ id, finishedMs: Number(at) }])),
    missing: found.flatMap(([id, at, announced]) =>
      at === '' ? [{ id, announced: Number(announced) > 0 }] : [],
    ),
  };
}

async function announce(
  { redis, source, callbacks, attempts }: Parameters<typeof announceEnds>[0],
  { id, finishedMs }: EndedCall,
): Promise<boolean> {
  const job = await source.queue.getJob(id);
  const url = callbackUrlOf(job?.data);
  if (url !== undefined) {
    const data: CallbackJob = { v: 1, upstream: source.upstream, callId: id, finishedMs, url };
    await callbacks.add('deliver', data, jobOptions(`${id}-${finishedMs}`, attempts));
  }
  // Only now: a crash before this line announces it once more, and that adds nothing.
  await redis.zadd(callbacksKey(source.root), 'XX', finishedMs, id);
  return url !== undefined;
}

/** Delivered ones stay for a day, so that an end announced twice is still delivered once. */
function jobOptions(jobId: string, attempts: number): JobsOptions {
  return {
    jobId,
    attempts,
    backoff: { type: 'custom' },
    removeOnComplete: { age: daySeconds, count: 10_000 },
    removeOnFail: { age: 14 * daySeconds, count: 10_000 },
    stackTraceLimit: 0,
  };
}

/** The callback a stored call asked for. */
export function callbackUrlOf(data: unknown): string | undefined {
  const parsed = callbackOptionSchema.safeParse(data);
  return parsed.success ? parsed.data.options.callback.url : undefined;
}

const callbackOptionSchema = z.looseObject({
  options: z.looseObject({ callback: z.looseObject({ url: z.string() }) }),
});

/** Drops markers of calls that are no longer kept. Returns how many were never announced. */
async function forget(redis: Redis, { root }: CallbackSource, missing: readonly Missing[]): Promise<number> {
  if (missing.length === 0) return 0;
  const nowMs = Number((await redis.time())[0]) * 1000;
  const gone = missing.filter(({ id, announced }) => announced || nowMs - timeOfCallId(id) > arrivalMs);
  if (gone.length > 0) await redis.zrem(callbacksKey(root), ...gone.map(({ id }) => id));
  return gone.filter(({ announced }) => !announced).length;
}

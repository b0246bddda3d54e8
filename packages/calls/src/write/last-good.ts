/**
 * The last good result of a read with the same input, for `ifOpen: "stale"`. Web finds results among the completed jobs
 * by the `resultKey` of their envelopes. A stale request also marks its operation as wanted for a week. Workers then
 * copy each result to its own key, so that it outlives the job. Personal results stay sealed.
 */

import { createHash } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { z } from 'zod';
import { canonicalJson } from '../call/canonical-json.ts';
import { returnValueSchema } from '../call/envelope.ts';

/** Default maximum age of a stale result. */
export const staleTtlDefaultSeconds = 24 * 60 * 60;

const wantedForMs = 7 * 24 * 60 * 60 * 1000;
const sliceSize = 250;

/** The result of the call `id`. `result` is sealed if it is personal. */
export type LastGood = { readonly id: string; readonly finishedMs: number; readonly result: unknown };

type Reading = { readonly redis: Redis; readonly root: string };

const keptSchema = z.looseObject({ id: z.string(), finishedMs: z.number(), result: z.unknown() });

/** Identifies an operation with its input, which is in plain text. */
export function resultKeyOf(operation: string, input: unknown): string {
  return createHash('sha256')
    .update(canonicalJson([operation, input]))
    .digest('hex');
}

/** Marks an operation as wanted. */
export async function wantLastGood({ redis, root }: Reading, operation: string): Promise<void> {
  await redis.zadd(wantedKey(root), Date.now(), operation);
}

/** The operations that were requested with `ifOpen: "stale"` within the last week. */
export async function wantedLastGood({ redis, root }: Reading): Promise<ReadonlySet<string>> {
  return new Set(await redis.zrangebyscore(wantedKey(root), Date.now() - wantedForMs, '+inf'));
}

/** Stores a copy of a result for `ttlSeconds`. */
export async function keepLastGood(
  { redis, root }: Reading,
  resultKey: string,
  good: LastGood,
  ttlSeconds: number,
): Promise<void> {
  await redis.set(lastGoodKey(root, resultKey), JSON.stringify(good), 'EX', ttlSeconds);
}

/** Finds last good results. Use one per upstream and process: it caches an index of the completed jobs. */
export class LastGoodFinder {
  readonly #redis: Redis;
  readonly #root: string;
  readonly #queue: Pick<Queue, 'toKey'>;
  readonly #jobs = new Map<string, string>();
  #seenMs = 0;
  #looking: Promise<void> | undefined;

  constructor({ redis, root, queue }: Reading & { queue: Pick<Queue, 'toKey'> }) {
    this.#redis = redis;
    this.#root = root;
    this.#queue = queue;
  }

  /** The newest good result that is not older than `maxAgeMs`. Rejects if Redis fails. */
  async find(resultKey: string, maxAgeMs: number): Promise<LastGood | undefined> {
    const [kept, job] = await Promise.all([this.#kept(resultKey), this.#ofJob(resultKey)]);
    const newest = [kept, job]
      .filter((good) => good !== undefined)
      .sort((a, b) => b.finishedMs - a.finishedMs)[0];
    return newest && Date.now() - newest.finishedMs <= maxAgeMs ? newest : undefined;
  }

  async #kept(resultKey: string): Promise<LastGood | undefined> {
    const text = await this.#redis.get(lastGoodKey(this.#root, resultKey));
    return text === null ? undefined : keptSchema.safeParse(JSON.parse(text)).data;
  }

  async #ofJob(resultKey: string): Promise<LastGood | undefined> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
    const id = this.#jobs.get(resultKey);
    if (id === undefined) return undefined;
    const [text, at] = await this.#redis.hmget(this.#queue.toKey(id), 'returnvalue', 'finishedOn');
    const value = returnValueSchema.safeParse(text ? JSON.parse(text) : undefined).data;
    return value && at ? { id, finishedMs: Number(at), result: value.result } : undefined;
  }

  /** Indexes the jobs completed since the last call, in small steps that do not block Redis for long. */
  async #look(): Promise<void> {
    const completed = this.#queue.toKey('completed');
    for (let from = this.#seenMs; ; ) {
      const reply = (await this.#redis.eval(
        findScript,
        1,
        completed,
        this.#queue.toKey(''),
        from,
        sliceSize,
      )) as [string[], string, number];
      const [pairs, lastMs, count] = reply;
      for (let i = 0; i + 1 < pairs.length; i += 2)
        this.#jobs.set(pairs[i] as string, pairs[i + 1] as string);
      if (count > 0) this.#seenMs = Number(lastMs);
      if (count < sliceSize) break;
      from = Number(lastMs);
    }
    await this.#forgetTrimmed(completed);
  }

  /** Rebuilds the index when most of its jobs have been trimmed. */
  async #forgetTrimmed(completed: string): Promise<void> {
    if (this.#jobs.size <= 1000 || this.#jobs.size <= 2 * (await this.#redis.zcard(completed))) return;
    this.#jobs.clear();
    this.#seenMs = 0;
  }
}

// A slice never splits the jobs of one millisecond, because the next slice starts by time.
const findScript = `
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], '+inf', 'LIMIT', 0, tonumber(ARGV[3]))
local last = ARGV[2]
if #ids == tonumber(ARGV[3]) then
  last = redis.call('ZSCORE', KEYS[1], ids[#ids])
  if last == ARGV[2] then ids = redis.call('ZRANGEBYSCORE', KEYS[1], last, last)
    last = string.format('%.0f', tonumber(last) + 1) end
elseif #ids > 0 then
  last = redis.call('ZSCORE', KEYS[1], ids[#ids])
end
local pairs = {}
for _, id in ipairs(ids) do
  local data = redis.call('HGET', ARGV[1] .. id, 'data')
  if data and string.find(data, '"resultKey":', 1, true) then
    local ok, envelope = pcall(cjson.decode, data)
    if ok and type(envelope.resultKey) == 'string' then
      pairs[#pairs + 1] = envelope.resultKey
      pairs[#pairs + 1] = id
    end
  end
end
return {pairs, last, #ids}
`;

function wantedKey(root: string): string {
  return `${root}:last-good-wanted`;
}

function lastGoodKey(root: string, resultKey: string): string {
  return `${root}:last-good:${resultKey}`;
}

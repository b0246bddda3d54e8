/**
 * A retry run in Redis: failed calls retried in batches. An upstream has one run at a time. Its ids are chosen at the
 * start, so a call that fails again is not retried twice. A run survives a restart of admin.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import { z } from 'zod';

/** `waiting`: the run continues automatically when no hold is active and the breaker is closed. */
export const retryRunStates = ['running', 'waiting', 'finished', 'stopped'] as const;

const stored = z.object({
  id: z.string(),
  by: z.string(),
  reason: z.string(),
  /** The filter as text. */
  filter: z.string(),
  perMinute: z.coerce.number(),
  total: z.coerce.number(),
  done: z.coerce.number().default(0),
  /** Calls that were no longer failed or must not be retried. */
  skipped: z.coerce.number().default(0),
  state: z.enum(retryRunStates),
  /** Why it waits, or who stopped it and why. */
  note: z.string().default(''),
  startedAt: z.coerce.number(),
  endedAt: z.coerce.number().default(0),
});

/** A run. Times in ms. `endedAt` is 0 until it ends. */
export type RetryRun = Readonly<z.output<typeof stored>>;

type Source = { readonly redis: Redis; readonly root: string };

/** Keys of an upstream's run. */
export function retryRunKeys(root: string): { run: string; ids: string; lease: string } {
  return { run: `${root}:retry-run`, ids: `${root}:retry-run:ids`, lease: `${root}:retry-run:lease` };
}

/** Note of a run whose ids are still being stored. */
export const preparing = 'it is being prepared';

/** How long an ended run stays visible. */
const keepSeconds = 24 * 60 * 60;

/** The current or last run; null when there is none. */
export async function readRetryRun({ redis, root }: Source): Promise<RetryRun | null> {
  const parsed = stored.safeParse(await redis.hgetall(retryRunKeys(root).run));
  return parsed.success ? parsed.data : null;
}

/** True while a run has not ended. */
export function isGoing(run: Pick<RetryRun, 'state'> | null): boolean {
  return run?.state === 'running' || run?.state === 'waiting';
}

const startScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'running' or state == 'waiting' then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], unpack(cjson.decode(ARGV[1])))
return 1`;

/** Stores a new run. Returns false while another one is in progress. */
export async function startRetryRun(
  { redis, root }: Source,
  run: Omit<RetryRun, 'done' | 'skipped' | 'state' | 'note' | 'endedAt'>,
  ids: readonly string[],
): Promise<boolean> {
  const keys = retryRunKeys(root);
  const fields = Object.entries({ ...run, state: 'waiting', note: preparing }).flatMap(([name, value]) => [
    name,
    String(value),
  ]);
  if ((await redis.eval(startScript, 2, keys.run, keys.ids, JSON.stringify(fields))) !== 1) return false;
  for (let from = 0; from < ids.length; from += 1_000) {
    await redis.rpush(keys.ids, ...ids.slice(from, from + 1_000));
  }
  await redis.hset(keys.run, { state: 'running', note: '' });
  return true;
}

const endScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'running' and state ~= 'waiting' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'note', ARGV[2], 'endedAt', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('DEL', KEYS[2])
return 1`;

/** Ends the run. Returns false when none is in progress. */
export async function endRetryRun(
  { redis, root }: Source,
  state: 'finished' | 'stopped',
  note: string,
): Promise<boolean> {
  const keys = retryRunKeys(root);
  const ended = await redis.eval(endScript, 2, keys.run, keys.ids, state, note, Date.now(), keepSeconds);
  return ended === 1;
}

/**
 * Failed calls put back in doses: what is stored of such a run. One run per upstream at a time; its ids are
 * chosen when it starts, so a call that fails again is not taken twice. Always true: everything is in Redis, so
 * a run survives a restart of the admin app and shows the same on every page.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import { z } from 'zod';

/** `waiting`: it goes on by itself when the upstream takes calls again. */
export const retryRunStates = ['running', 'waiting', 'finished', 'stopped'] as const;

const stored = z.object({
  id: z.string(),
  by: z.string(),
  reason: z.string(),
  /** What was asked for, in words. */
  filter: z.string(),
  perMinute: z.coerce.number(),
  total: z.coerce.number(),
  done: z.coerce.number().default(0),
  /** No longer among the failed, or not to be retried any more. */
  skipped: z.coerce.number().default(0),
  state: z.enum(retryRunStates),
  /** Why it waits, or who stopped it and why. */
  note: z.string().default(''),
  startedAt: z.coerce.number(),
  endedAt: z.coerce.number().default(0),
});

/** A run; times in ms, `endedAt` 0 while it goes on. */
export type RetryRun = Readonly<z.output<typeof stored>>;

type Source = { readonly redis: Redis; readonly root: string };

/** Keys of an upstream's run. */
export function retryRunKeys(root: string): { run: string; ids: string; lease: string } {
  return { run: `${root}:retry-run`, ids: `${root}:retry-run:ids`, lease: `${root}:retry-run:lease` };
}

/** The note of a run whose calls are still being written down. */
export const preparing = 'it is being prepared';

/** A finished run stays visible so long, in seconds. */
const keepSeconds = 24 * 60 * 60;

/** The run as it stands; null when there is none. */
export async function readRetryRun({ redis, root }: Source): Promise<RetryRun | null> {
  const parsed = stored.safeParse(await redis.hgetall(retryRunKeys(root).run));
  return parsed.success ? parsed.data : null;
}

/** True while a run has calls left to put back. */
export function isGoing(run: Pick<RetryRun, 'state'> | null): boolean {
  return run?.state === 'running' || run?.state === 'waiting';
}

const startScript = `
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'running' or state == 'waiting' then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], unpack(cjson.decode(ARGV[1])))
return 1`;

/** Stores a new run; false when another one is going. */
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

/** Ends a run; false when none was going. */
export async function endRetryRun(
  { redis, root }: Source,
  state: 'finished' | 'stopped',
  note: string,
): Promise<boolean> {
  const keys = retryRunKeys(root);
  const ended = await redis.eval(endScript, 2, keys.run, keys.ids, state, note, Date.now(), keepSeconds);
  return ended === 1;
}

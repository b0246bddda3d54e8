/**
 * What the live workers of one upstream say of themselves: sent with each heartbeat, kept beside their reports so that
 * no script and no reader of a breaker pays for it.
 */
import type { RedisConnection } from './scripts.ts';

/** `advert` is what the worker passed as such; null: it says nothing, as a worker of an older release. */
export type Advertised = { readonly id: string; readonly startedAt: number; readonly advert: unknown };

/** The live workers. Rejects when Redis cannot be read. */
export async function readAdverts({
  redis,
  root,
}: {
  redis: RedisConnection;
  root: string;
}): Promise<Advertised[]> {
  const [workers, adverts] = await Promise.all([
    redis.hgetall(`${root}:workers`),
    redis.hgetall(`${root}:adverts`),
  ]);
  return Object.entries(workers).map(([id, report]) => ({
    id,
    startedAt: Number((JSON.parse(report) as { startedAt?: number }).startedAt ?? 0),
    advert: JSON.parse(adverts[id] ?? 'null') as unknown,
  }));
}

/**
 * Confirms that replicas have a write before something is promised or sent because of it. Replication is asynchronous,
 * so a failover can lose writes that the master acknowledged.
 *
 * One connection reads the job, writes a marker and waits for the marker. The marker follows the job in one
 * replication history, so a confirmation holds even after a failover.
 */
import { promisify } from 'node:util';
import type { Cluster } from 'ioredis';
import type { Log } from '../observe/log.ts';
import type { Redis } from './connection.ts';

/** `memory` waits with `WAIT`, `disk` with `WAITAOF` (Redis 7.2 or newer, replicas with `appendonly yes`). */
type ReplicaConfig = {
  readonly REDIS_WAIT_REPLICAS: number;
  readonly REDIS_WAIT_FOR: 'memory' | 'disk';
};

/** The field `data` of the hash `key` must contain `includes`. `key` has the same hash tag as `root`. */
type WrittenJob = { readonly root: string; readonly key: string; readonly includes?: string };

/** Resolves to true if the current master and enough of its replicas have the job. Never rejects. */
export type ConfirmWritten = (written: WrittenJob) => Promise<boolean>;

type Question = {
  readonly root: string;
  readonly asked: readonly Asked[];
  readonly replicas: number;
  readonly waitFor: 'memory' | 'disk';
};
type Asked = WrittenJob & { readonly settle: (confirmed: boolean) => void };

/** Longest wait for the replicas, in ms. Shorter than the timeout of a `fast` connection. */
const replicaWaitMs = 1000;

/**
 * `connect` opens a `fast` connection for this purpose only, because waiting blocks it. One batch per upstream is in
 * flight; requests that arrive meanwhile share the next one. With `REDIS_WAIT_REPLICAS=0` everything is confirmed.
 */
export function createReplicaConfirmation(
  { REDIS_WAIT_REPLICAS: replicas, REDIS_WAIT_FOR: waitFor }: ReplicaConfig,
  connect: () => Redis,
  log: Log,
): { readonly confirm: ConfirmWritten; close(): void } {
  if (replicas === 0) return { confirm: () => Promise.resolve(true), close: () => {} };
  const redis = connect();
  const waiting = new Map<string, Asked[]>();
  const busy = new Set<string>();
  const logChange = logChanges(log, replicas);

  async function ask(root: string): Promise<void> {
    busy.add(root);
    for (let asked = waiting.get(root); asked?.length; asked = waiting.get(root)) {
      waiting.set(root, []);
      const question = { root, asked, replicas, waitFor };
      const answers = await askWhoHasIt(redis, question).catch((error: unknown) => {
        logChange(error);
        return [];
      });
      if (answers.length > 0)
        logChange(answers.some(Boolean) ? undefined : new Error('too few replicas acknowledged'));
      for (const [index, { settle }] of asked.entries()) settle(answers[index] ?? false);
    }
    busy.delete(root);
  }

  return {
    confirm: (written) =>
      new Promise((settle) => {
        const { root } = written;
        waiting.set(root, [...(waiting.get(root) ?? []), { ...written, settle }]);
        if (!busy.has(root)) void ask(root);
      }),
    close: () => redis.disconnect(),
  };
}

/**
 * In a cluster the job may have moved to another master. ioredis follows MOVED by itself, but not in a pipeline where
 * another command, here the wait, succeeded. Without a refresh it would ask the old master every time.
 */
async function askWhoHasIt(redis: Redis, question: Question): Promise<boolean[]> {
  try {
    return await askReplicas(redis, question);
  } catch (error) {
    if (!redis.isCluster || !(error as Error).message.startsWith('MOVED')) throw error;
    await promisify((done) => (redis as unknown as Cluster).refreshSlotsCache(done))();
    return askReplicas(redis, question);
  }
}

async function askReplicas(redis: Redis, { root, asked, replicas, waitFor }: Question): Promise<boolean[]> {
  const questions = redis.pipeline();
  for (const { key } of asked) questions.hget(key, 'data');
  questions.set(`${root}:replicated`, '1');
  if (waitFor === 'memory') questions.wait(replicas, replicaWaitMs);
  else questions.call('WAITAOF', 0, replicas, replicaWaitMs);
  const replies = (await questions.exec()) ?? [];
  for (const [error] of replies) if (error) throw error;
  const last = replies.at(-1)?.[1];
  const confirmedBy = Number(Array.isArray(last) ? last[1] : last);
  return asked.map(({ includes = '' }, index) => {
    const data = replies[index]?.[1];
    return confirmedBy >= replicas && typeof data === 'string' && data.includes(includes);
  });
}

/** Logs once when replicas stop acknowledging, and once when they resume. */
function logChanges(log: Log, replicas: number): (trouble: unknown) => void {
  let lost = false;
  return (trouble) => {
    if (trouble === undefined) {
      if (lost) log.info({ replicas }, 'replicas acknowledge writes again');
      lost = false;
      return;
    }
    if (lost) return;
    lost = true;
    const unknown = trouble instanceof Error && /unknown command/i.test(trouble.message);
    const advice = unknown ? ': REDIS_WAIT_FOR=disk needs Redis 7.2 or newer; set it to memory' : '';
    log.warn({ err: trouble, replicas }, `replicas do not acknowledge writes${advice}`);
  };
}

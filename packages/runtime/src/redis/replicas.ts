/**
 * Asks replicas whether they have what was written, before something is promised or sent because of it: replication
 * is asynchronous, so a master that dies takes the last writes it acknowledged along.
 *
 * Always true: `true` means that the job is on the master that answers now and that at least so many of its replicas
 * have it too. It holds whatever failover happened in between: the job is read and a marker written on one
 * connection, and the replicas are asked about the marker, which comes after the job in one and the same history.
 * Never rejects. One question is under way per upstream; who comes meanwhile shares the next.
 */
import { promisify } from 'node:util';
import type { Cluster } from 'ioredis';
import type { Log } from '../observe/log.ts';
import type { Redis } from './connection.ts';

/**
 * How many replicas, and how sure: `memory` asks with `WAIT`, `disk` with `WAITAOF` (Redis 7.2 and newer, replicas with
 * `appendonly yes`).
 */
export type ReplicaConfig = {
  readonly REDIS_WAIT_REPLICAS: number;
  readonly REDIS_WAIT_FOR: 'memory' | 'disk';
};

/** What must be there: the field `data` of the hash `key` with this text in it. Same hash tag as `root`. */
export type WrittenJob = { readonly root: string; readonly key: string; readonly includes?: string };

/** Resolves to whether the replicas have it. */
export type ConfirmWritten = (written: WrittenJob) => Promise<boolean>;

type Question = {
  readonly root: string;
  readonly asked: readonly Asked[];
  readonly replicas: number;
  readonly waitFor: 'memory' | 'disk';
};
type Asked = WrittenJob & { readonly settle: (confirmed: boolean) => void };

/** Longest time to wait for the replicas, in ms; below the time limit of a `fast` connection's commands. */
export const replicaWaitMs = 1000;

/**
 * `redis` has role `fast` and is used for nothing else: the question blocks it. Without replicas to wait for
 * everything is confirmed at once and nothing is asked.
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
  const say = sayChanges(log, replicas);

  async function ask(root: string): Promise<void> {
    busy.add(root);
    for (let asked = waiting.get(root); asked?.length; asked = waiting.get(root)) {
      waiting.set(root, []);
      const question = { root, asked, replicas, waitFor };
      const answers = await askWhoHasIt(redis, question).catch((error: unknown) => {
        say(error);
        return [];
      });
      if (answers.length > 0) say(answers.some(Boolean) ? undefined : new Error('too few replicas answered'));
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
 * In a cluster the job may have moved to another master. ioredis follows by itself, but not when some commands of a
 * pipeline, here the one that waits, were answered all the same: then it would ask the old one for ever.
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

/** Says once that replicas do not confirm, and once that they do again. */
function sayChanges(log: Log, replicas: number): (trouble: unknown) => void {
  let lost = false;
  return (trouble) => {
    if (trouble === undefined) {
      if (lost) log.info({ replicas }, 'replicas confirm again');
      lost = false;
      return;
    }
    if (lost) return;
    lost = true;
    const unknown = trouble instanceof Error && /unknown command/i.test(trouble.message);
    const advice = unknown ? ': REDIS_WAIT_FOR=disk needs Redis 7.2 or newer, set it to memory' : '';
    log.warn({ err: trouble, replicas }, `replicas do not confirm what is written${advice}`);
  };
}

/**
 * Adds a call's job to the queue together with its index entries, in one script that wraps BullMQ's own. An id is added
 * at most once. For `rememberMs`, this holds even after the call has been made and trimmed.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import { Job, type JobsOptions, type Queue } from 'bullmq';
import type { Envelope } from '../call/envelope.ts';
import { callbacksKey, deadlinesKey, inDoubtKey, storedKey, wishesDueKey, wishesKey } from '../call/keys.ts';
import { around, bullScript, lua, type ScriptArgument, scriptCommand } from './scripts.ts';

export type StoreJobRequest = {
  readonly redis: Redis;
  readonly queue: Queue;
  /** Key root of the upstream, such as `recloser:{crossmark}`. */
  readonly root: string;
  readonly id: string;
  readonly envelope: Envelope;
  readonly options: JobsOptions;
  /** How long to remember that the id was stored. Absent: as long as its job exists. */
  readonly rememberMs?: number;
  /** Set for operations with a duplicate window. `find`: return an equal earlier call instead of storing a new one. */
  readonly wish?: { readonly digest: string; readonly windowMs: number; readonly find: boolean };
};

/**
 * `added`: the job is in the queue. `present`: a job with this id was stored before. `same-wish`: nothing was stored,
 * because the call `id` is equal.
 */
export type StoredJobAs =
  | { readonly kind: 'added'; readonly job: Job }
  | { readonly kind: 'present'; readonly job: Job }
  | { readonly kind: 'same-wish'; readonly id: string };

const sameWishLua = lua('same-wish');
const storeJobLua = `${sameWishLua}\n${lua('store-job')}`;
const findSameWishLua = `${sameWishLua}\n${lua('find-same-wish')}`;
const ownKeys = 6;

type Reply = readonly ['added' | 'present' | 'same-wish', string] | number;

/** Stores the job. The command is sent synchronously. Rejects if Redis fails. */
export async function storeJob(request: StoreJobRequest): Promise<StoredJobAs> {
  const { redis, queue, root, id, envelope, options, rememberMs, wish } = request;
  const { callback, expiresAt } = envelope.options;
  const job = new Job(queue, envelope.operation, envelope, options, id);
  const keys = [
    storedKey(root, id),
    wishesKey(root),
    wishesDueKey(root),
    inDoubtKey(root),
    callbacksKey(root),
    deadlinesKey(root),
  ];
  const asked = JSON.stringify({
    ...(rememberMs !== undefined && { rememberMs }),
    ...(callback && { callback: true }),
    ...(expiresAt !== undefined && { expiresMs: Date.parse(expiresAt) }),
    ...(wish && { wish: wish.digest, windowMs: wish.windowMs, findSameWish: wish.find }),
  });
  // A stand-in for BullMQ's client: BullMQ passes the name, keys and arguments of the script that adds the job.
  const client = {
    runCommand(versioned: string, args: readonly ScriptArgument[]) {
      const { run, bullKeys } = storeCommand(redis, versioned.split(':')[0] ?? '');
      const bullArgs = args.slice(bullKeys);
      return run(...args.slice(0, bullKeys), ...keys, ...bullArgs, queue.toKey(''), id, asked);
    },
  } as unknown as Parameters<Job['addJob']>[0];
  const [kind, found] = (await job.addJob(client, {})) as unknown as Exclude<Reply, number>;
  return kind === 'same-wish' ? { kind, id: found } : { kind, job };
}

/** The id of the call that answers a post with this digest, or null. Rejects if Redis fails. */
export async function findSameWish(options: {
  readonly redis: Redis;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly root: string;
  readonly digest: string;
}): Promise<string | null> {
  const { redis, queue, root, digest } = options;
  const run = scriptCommand<string | null>(redis, 'calls:findSameWish', () => ({
    numberOfKeys: 2,
    lua: findSameWishLua,
  }));
  return run(wishesKey(root), inDoubtKey(root), queue.toKey(''), digest);
}

function storeCommand(redis: Redis, script: string) {
  const bull = bullScript(script);
  const run = scriptCommand<Reply>(redis, `calls:store:${script}`, () => ({
    numberOfKeys: bull.keys + ownKeys,
    lua: around(bull, storeJobLua),
  }));
  return { run, bullKeys: bull.keys };
}

/**
 * Adds a call's job to BullMQ's queue together with everything that must not be missing beside it, in one script:
 * either all of it is stored or nothing.
 *
 * Always true: a job is added once. For as long as `rememberMs` says, an id that was stored is known also when its
 * call has been made and trimmed, so a request that is repeated under that id adds nothing.
 *
 * BullMQ's own script does the adding. It is taken from the installed release and wrapped in a Lua function.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import { Job, type JobsOptions, type Queue } from 'bullmq';
import type { Envelope } from '../call/envelope.ts';
import { callbacksKey, deadlinesKey, inDoubtKey, storedKey, wishesDueKey, wishesKey } from '../call/keys.ts';
import { around, bullScript, lua, type ScriptArgument, scriptCommand } from './scripts.ts';

export type StoreJobRequest = {
  readonly redis: Redis;
  readonly queue: Queue;
  /** Of the upstream: `recloser:{crossmark}`. */
  readonly root: string;
  readonly id: string;
  readonly envelope: Envelope;
  readonly options: JobsOptions;
  /** How long the id is known to be stored, whatever becomes of its job; absent: as long as the job is there. */
  readonly rememberMs?: number;
  /** Of an operation with a duplicate window. `find`: an equal call that counts is taken instead. */
  readonly wish?: { readonly digest: string; readonly windowMs: number; readonly find: boolean };
};

/**
 * `added`: the job is in the queue. `present`: it was stored before under the same id. `same-wish`: nothing was stored,
 * as another call wants the same.
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

/** Stores the job. The command leaves before this returns; rejects when Redis fails, as BullMQ's `add` does. */
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
  // BullMQ says which script adds the job, and with which keys and arguments.
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

/** The id of the call that a post of this wish is answered with, if there is one. Rejects when Redis fails. */
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

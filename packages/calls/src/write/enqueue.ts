/**
 * Puts a call into its queue, once per idempotency key.
 *
 * Always true: the id is chosen before anything is written, and the job has that id, so a command sent twice
 * stores one call. With a key, the key's record is written first and names the id; whoever repeats the
 * request stores the job under that id again, which does nothing once it was stored, also when its call has run
 * and been trimmed since: the job and the note that it was stored are written in one script.
 */

import { createHash } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { JobsOptions, Queue } from 'bullmq';
import { canonicalJson } from '../call/canonical-json.ts';
import type { Envelope } from '../call/envelope.ts';
import { newCallId, timeOfCallId } from '../call/id.ts';
import { idempotencyKey, upstreamRoot } from '../call/keys.ts';
import { sealedWith, sealInput } from '../call/seal-input.ts';
import { type StoreJobRequest, storeJob } from '../queue/store-job.ts';
import type { StoredJob } from '../read/view.ts';
import { resultKeyOf } from './last-good.ts';
import type { CallOptions } from './options.ts';
import { type SucceededRetention, succeededRetention } from './retention.ts';
import { wishDigest } from './same-wish.ts';
import { classifyStoreError } from './store-error.ts';

/** How long an idempotency key is remembered. */
export const idempotencyTtlSeconds = 24 * 60 * 60;

/** A record this old that was never marked `stored` is not acted on: its call may have come and gone. */
const resumableMs = 10 * 60 * 1000;

/** Longer than a record can be acted on, by clocks that differ a little, or a command be sent again by ioredis. */
const rememberStoredMs = 1.5 * resumableMs;

/** What `enqueueCall` needs to know of an operation. */
export type EnqueuedOperation = {
  readonly name: string;
  readonly retry: { readonly maxAttempts: number };
  /** The results of a `read` can be found again by its input. */
  readonly effect?: string;
  readonly sealedInput?: readonly string[];
  /** Absent or 0: equal posts are different calls. */
  readonly duplicateWindowSeconds?: number;
};

export type EnqueueRequest = {
  readonly redis: Redis;
  readonly queue: Queue;
  /** `REDIS_PREFIX`; where idempotency keys are kept. */
  readonly prefix: string;
  readonly upstream: string;
  readonly operation: EnqueuedOperation;
  /** Validated input, in clear. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: CallOptions;
  readonly sealer: Sealer;
  readonly requestId: string;
  readonly submittedBy?: string;
  readonly trace?: Readonly<Record<string, string>>;
  /** How long the call is kept once it has succeeded. */
  readonly retention?: SucceededRetention;
  /** Longest time until the result, in ms; what is under way then is `unknown`. */
  readonly timeoutMs?: number;
  /** Whether enough replicas have the job by now; absent: nobody is asked. Never rejects. */
  readonly confirmWritten?: (written: { readonly root: string; readonly key: string }) => Promise<boolean>;
  /** Told the call's id while the command that stores it leaves: what is sent from the next turn on comes after it. */
  readonly onSending?: (id: string) => void;
  /** `scope` keeps the keys of different clients apart; `fingerprint` is `requestFingerprint` of the request. */
  readonly idempotency?: IdempotencyClaim;
};

/** One client's key and what it was used for. */
export type IdempotencyClaim = { readonly scope: string; readonly key: string; readonly fingerprint: string };

export type EnqueueResult =
  /**
   * Redis has the call. `replayed`: it was stored by an earlier request with the same key, or for the same wish.
   * `added`: the job as this request stored it, for an answer that needs no further read.
   */
  | { readonly kind: 'stored'; readonly id: string; readonly replayed: boolean; readonly added?: StoredJob }
  /** The key belongs to another request; nothing was stored. */
  | { readonly kind: 'key-reused'; readonly id: string }
  /** The first request with this key was lost long ago and nobody can say whether its call ran. */
  | { readonly kind: 'unresolved'; readonly id: string }
  /** Certainly not stored. */
  | { readonly kind: 'refused'; readonly error: Error }
  /** Sent, and no answer: it may be stored under `id` or not. */
  | { readonly kind: 'unknown'; readonly id: string; readonly error: Error };

type KeyRecord = { readonly id: string; readonly fingerprint: string; readonly state: 'new' | 'stored' };

/** Stores a call. Failures of Redis are results; only bugs throw. */
export async function enqueueCall(request: EnqueueRequest): Promise<EnqueueResult> {
  // Not connected: nothing is sent, so nothing can be stored later behind the caller's back.
  if (!isConnected(request.redis)) return { kind: 'refused', error: new Error('Redis is not connected') };
  const known = { id: newCallId(request.upstream) };
  const storing = request.idempotency
    ? storeOnce(request, request.idempotency, known)
    : addJob(request, known.id, false);
  if (request.timeoutMs === undefined) return storing;
  const { promise: late, resolve } = Promise.withResolvers<EnqueueResult>();
  const giveUp = () => resolve({ kind: 'unknown', id: known.id, error: new Error('Redis took too long') });
  const timer = setTimeout(giveUp, request.timeoutMs);
  return Promise.race([storing, late]).finally(() => clearTimeout(timer));
}

/** What a key was used for: the call and the fingerprint of its request. Rejects when Redis cannot be read. */
export async function readClaim(
  redis: Redis,
  prefix: string,
  claim: Omit<IdempotencyClaim, 'fingerprint'>,
): Promise<Pick<KeyRecord, 'id' | 'fingerprint'> | null> {
  const record = await redis.get(idempotencyKey(prefix, idempotencyDigest(claim)));
  return record === null ? null : (JSON.parse(record) as KeyRecord);
}

async function storeOnce(
  request: EnqueueRequest,
  claim: IdempotencyClaim,
  known: { id: string },
): Promise<EnqueueResult> {
  const fresh = known.id;
  const recordKey = idempotencyKey(request.prefix, idempotencyDigest(claim));
  const ours: KeyRecord = { id: fresh, fingerprint: claim.fingerprint, state: 'new' };
  let found = ours;
  try {
    const text = JSON.stringify(ours);
    const before = await request.redis.set(recordKey, text, 'EX', idempotencyTtlSeconds, 'NX', 'GET');
    if (before !== null) found = JSON.parse(before) as KeyRecord;
  } catch (error) {
    return failed(error, fresh);
  }
  if (found.fingerprint !== claim.fingerprint) return { kind: 'key-reused', id: found.id };
  known.id = found.id;
  // A command that was sent twice finds the record it wrote itself: the id tells.
  const replayed = found.id !== fresh;
  if (found.state === 'stored') return { kind: 'stored', id: found.id, replayed };
  if (replayed && Date.now() - timeOfCallId(found.id) > resumableMs) return resume(request, recordKey, found);
  const added = await addJob(request, found.id, replayed);
  if (added.kind === 'stored') void markStored(request.redis, recordKey, found);
  return added;
}

/** Names one request: same upstream, operation and body (whatever the order of its fields) → same text. */
export function requestFingerprint(upstream: string, operation: string, body: unknown): string {
  return createHash('sha256')
    .update(canonicalJson([upstream, operation, body]))
    .digest('hex');
}

/** The job options of a call. The worker owns the backoff strategy named `custom`. */
export function jobOptions(
  id: string,
  options: CallOptions,
  maxAttempts: number,
  nowMs: number,
  retention: SucceededRetention = succeededRetention,
): JobsOptions {
  const delay = options.runAt === undefined ? 0 : Math.max(0, Date.parse(options.runAt) - nowMs);
  return {
    jobId: id,
    attempts: maxAttempts,
    backoff: { type: 'custom' },
    // Every call has one: BullMQ runs jobs with a priority after all jobs without.
    priority: options.priority,
    delay,
    timestamp: nowMs,
    removeOnComplete: { age: retention.ageSeconds, count: retention.count },
    // Calls in doubt are among BullMQ's failed ones and must stay: see retention.ts.
    removeOnFail: false,
    stackTraceLimit: 0,
  };
}

async function addJob(request: EnqueueRequest, id: string, replayed: boolean): Promise<EnqueueResult> {
  const nowMs = Date.now();
  const maxAttempts = request.options.maxAttempts ?? request.operation.retry.maxAttempts;
  const envelope = createEnvelope(request, maxAttempts, nowMs);
  const options = jobOptions(id, request.options, maxAttempts, nowMs, request.retention);
  const root = upstreamRoot(request.prefix, request.upstream);
  const { redis, queue, idempotency } = request;
  const wish = wishOf(request);
  const mustRunOnce = idempotency !== undefined || request.operation.effect === 'unsafe';
  try {
    const storing = storeJob({
      redis,
      queue,
      root,
      id,
      envelope,
      options,
      ...(mustRunOnce && { rememberMs: rememberStoredMs }),
      ...(wish && { wish }),
    });
    request.onSending?.(id);
    const stored = await storing;
    const found = stored.kind === 'same-wish' ? stored.id : id;
    if (!(await confirmed(request, root, found))) {
      return { kind: 'unknown', id: found, error: new Error('too few replicas have it') };
    }
    // A command that was sent twice finds the call it stored itself.
    if (stored.kind === 'same-wish') return { kind: 'stored', id: found, replayed: replayed || found !== id };
    return { kind: 'stored', id, replayed, added: stored.job };
  } catch (error) {
    return failed(error, id);
  }
}

/** Every call of such an operation is noted, so that a later post without a key finds it. */
function wishOf(request: EnqueueRequest): StoreJobRequest['wish'] {
  const { operation, options, idempotency, upstream, submittedBy, input } = request;
  if (!operation.duplicateWindowSeconds) return undefined;
  return {
    digest: wishDigest({ submittedBy, upstream, operation: operation.name, input }),
    windowMs: operation.duplicateWindowSeconds * 1000,
    find: idempotency === undefined && options.allowDuplicate !== true,
  };
}

/** A master that dies takes what no replica has along: then it was not stored, whatever it said. */
async function confirmed(
  { confirmWritten, queue }: EnqueueRequest,
  root: string,
  id: string,
): Promise<boolean> {
  return confirmWritten === undefined || (await confirmWritten({ root, key: queue.toKey(id) }));
}

function createEnvelope(request: EnqueueRequest, maxAttempts: number, nowMs: number): Envelope {
  const { ifOpen, priority, runAt, expiresAt, metadata, callback, allowDuplicate } = request.options;
  const input = sealInput(request.input, request.operation.sealedInput ?? [], request.sealer);
  return {
    v: 1,
    operation: request.operation.name,
    ...(request.operation.effect === 'read' && {
      resultKey: resultKeyOf(request.operation.name, request.input),
    }),
    input,
    ...sealedWith(input, request.sealer),
    options: {
      ifOpen,
      priority,
      maxAttempts,
      ...(runAt === undefined ? {} : { runAt }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(callback === undefined ? {} : { callback }),
      ...(allowDuplicate === undefined ? {} : { allowDuplicate }),
    },
    createdAt: new Date(nowMs).toISOString(),
    requestId: request.requestId,
    ...(request.submittedBy === undefined ? {} : { submittedBy: request.submittedBy }),
    ...(request.trace === undefined ? {} : { trace: { ...request.trace } }),
    deferrals: 0,
    trials: 0,
    history: [],
  };
}

async function resume(request: EnqueueRequest, recordKey: string, found: KeyRecord): Promise<EnqueueResult> {
  try {
    if (!(await request.queue.getJob(found.id))) return { kind: 'unresolved', id: found.id };
    void markStored(request.redis, recordKey, found);
    return { kind: 'stored', id: found.id, replayed: true };
  } catch (error) {
    return failed(error, found.id);
  }
}

/** The call is safe whether or not this works: a repeat adds the same id again, and that does nothing. */
async function markStored(redis: Redis, recordKey: string, record: KeyRecord): Promise<void> {
  const stored: KeyRecord = { ...record, state: 'stored' };
  await redis.set(recordKey, JSON.stringify(stored), 'KEEPTTL', 'XX').catch(() => undefined);
}

function failed(cause: unknown, id: string): EnqueueResult {
  const { kind, error } = classifyStoreError(cause);
  return kind === 'refused' ? { kind, error } : { kind, id, error };
}

/** An ioredis cluster may say `connect` where a single server says `ready`. */
function isConnected(redis: Redis): boolean {
  return redis.status === 'ready' || (redis.status === 'connect' && redis.isCluster);
}

function idempotencyDigest({ scope, key }: Omit<IdempotencyClaim, 'fingerprint'>): string {
  return createHash('sha256')
    .update(JSON.stringify([scope, key]))
    .digest('hex');
}

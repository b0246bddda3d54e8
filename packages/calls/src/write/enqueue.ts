/**
 * Stores a call in its queue, once per idempotency key. The id is chosen before the first write. With a key, a record
 * of the id is written first. A repeated request stores the job under the same id, which does nothing if it was stored
 * before, even if the call has been made and trimmed since.
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

/** A record older than this that was never marked `stored` is not resumed: its call may have been made and trimmed. */
const resumableMs = 10 * 60 * 1000;

/** Longer than `resumableMs`, to allow for clock differences and for commands that ioredis sends again. */
const rememberStoredMs = 1.5 * resumableMs;

/** The properties of an operation that `enqueueCall` needs. */
export type EnqueuedOperation = {
  readonly name: string;
  readonly retry: { readonly maxAttempts: number };
  /** The results of a `read` are indexed by input. */
  readonly effect?: string;
  readonly sealedInput?: readonly string[];
  /** Absent or 0: an equal post is a new call. */
  readonly duplicateWindowSeconds?: number;
};

export type EnqueueRequest = {
  readonly redis: Redis;
  readonly queue: Queue;
  /** `REDIS_PREFIX`. */
  readonly prefix: string;
  readonly upstream: string;
  readonly operation: EnqueuedOperation;
  /** Validated input in plain text. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: CallOptions;
  readonly sealer: Sealer;
  readonly requestId: string;
  readonly submittedBy?: string;
  readonly trace?: Readonly<Record<string, string>>;
  /** How long the call is kept after it has succeeded. */
  readonly retention?: SucceededRetention;
  /** Timeout in ms. After it, the result is `unknown`. */
  readonly timeoutMs?: number;
  /** Resolves with true once enough replicas have the job. Absent: replicas are not checked. Never rejects. */
  readonly confirmWritten?: (written: { readonly root: string; readonly key: string }) => Promise<boolean>;
  /** Called with the call's id when the command that stores it has been sent. Later commands run after it. */
  readonly onSending?: (id: string) => void;
  readonly idempotency?: IdempotencyClaim;
};

/**
 * A client's idempotency key. `scope` separates clients. `fingerprint` identifies the request: `requestFingerprint`.
 */
export type IdempotencyClaim = { readonly scope: string; readonly key: string; readonly fingerprint: string };

export type EnqueueResult =
  /**
   * The call is stored. `replayed`: an earlier request stored it. `added`: the job as this request stored it, for a
   * response without a further read.
   */
  | { readonly kind: 'stored'; readonly id: string; readonly replayed: boolean; readonly added?: StoredJob }
  /** The key was used for another request. Nothing was stored. */
  | { readonly kind: 'key-reused'; readonly id: string }
  /** The first request with this key is old, and it is unknown whether its call was made. */
  | { readonly kind: 'unresolved'; readonly id: string }
  /** The call was not stored. */
  | { readonly kind: 'refused'; readonly error: Error }
  /** Redis did not respond. The call may or may not be stored under `id`. */
  | { readonly kind: 'unknown'; readonly id: string; readonly error: Error };

type KeyRecord = { readonly id: string; readonly fingerprint: string; readonly state: 'new' | 'stored' };

/** Stores a call. A failure of Redis is a result, not a rejection. */
export async function enqueueCall(request: EnqueueRequest): Promise<EnqueueResult> {
  // Without a connection, nothing is sent, so nothing can be stored later.
  if (!isConnected(request.redis)) return { kind: 'refused', error: new Error('Redis is not connected') };
  const known = { id: newCallId(request.upstream) };
  const storing = request.idempotency
    ? storeOnce(request, request.idempotency, known)
    : addJob(request, known.id, false);
  if (request.timeoutMs === undefined) return storing;
  const { promise: late, resolve } = Promise.withResolvers<EnqueueResult>();
  const giveUp = () =>
    resolve({ kind: 'unknown', id: known.id, error: new Error('Redis did not respond in time') });
  const timer = setTimeout(giveUp, request.timeoutMs);
  return Promise.race([storing, late]).finally(() => clearTimeout(timer));
}

/** The call and request fingerprint of an idempotency key. Rejects if Redis fails. */
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
  // A command that ioredis sent twice finds its own record, with the same id.
  const replayed = found.id !== fresh;
  if (found.state === 'stored') return { kind: 'stored', id: found.id, replayed };
  if (replayed && Date.now() - timeOfCallId(found.id) > resumableMs) return resume(request, recordKey, found);
  const added = await addJob(request, found.id, replayed);
  if (added.kind === 'stored') void markStored(request.redis, recordKey, found);
  return added;
}

/** Identifies a request by upstream, operation and body, regardless of the order of fields. */
export function requestFingerprint(upstream: string, operation: string, body: unknown): string {
  return createHash('sha256')
    .update(canonicalJson([upstream, operation, body]))
    .digest('hex');
}

/** The job options of a call. The worker implements the backoff strategy `custom`. */
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
    // Every call needs a priority: BullMQ runs jobs without one first.
    priority: options.priority,
    delay,
    timestamp: nowMs,
    removeOnComplete: { age: retention.ageSeconds, count: retention.count },
    // BullMQ must not trim calls in doubt. See retention.ts.
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
      return { kind: 'unknown', id: found, error: new Error('too few replicas acknowledged the call') };
    }
    // A command that ioredis sent twice finds its own call.
    if (stored.kind === 'same-wish') return { kind: 'stored', id: found, replayed: replayed || found !== id };
    return { kind: 'stored', id, replayed, added: stored.job };
  } catch (error) {
    return failed(error, id);
  }
}

/** The index entry of a call whose operation has a duplicate window. Also written for calls with a key. */
function wishOf(request: EnqueueRequest): StoreJobRequest['wish'] {
  const { operation, options, idempotency, upstream, submittedBy, input } = request;
  if (!operation.duplicateWindowSeconds) return undefined;
  return {
    digest: wishDigest({ submittedBy, upstream, operation: operation.name, input }),
    windowMs: operation.duplicateWindowSeconds * 1000,
    find: idempotency === undefined && options.allowDuplicate !== true,
  };
}

/** A call that no replica has is lost if the master fails. */
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

/** Errors are ignored: a repeated request adds the same id again, which does nothing. */
async function markStored(redis: Redis, recordKey: string, record: KeyRecord): Promise<void> {
  const stored: KeyRecord = { ...record, state: 'stored' };
  await redis.set(recordKey, JSON.stringify(stored), 'KEEPTTL', 'XX').catch(() => undefined);
}

function failed(cause: unknown, id: string): EnqueueResult {
  const { kind, error } = classifyStoreError(cause);
  return kind === 'refused' ? { kind, error } : { kind, id, error };
}

/** The status of a connected ioredis cluster may be `connect` instead of `ready`. */
function isConnected(redis: Redis): boolean {
  return redis.status === 'ready' || (redis.status === 'connect' && redis.isCluster);
}

function idempotencyDigest({ scope, key }: Omit<IdempotencyClaim, 'fingerprint'>): string {
  return createHash('sha256')
    .update(JSON.stringify([scope, key]))
    .digest('hex');
}

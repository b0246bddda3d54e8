/**
 * The last failed attempts of an upstream, from the histories of delayed and failed calls. They contain no text
 * that an upstream sent.
 */
import type { QueueDepth } from '@recloser/calls/queue/depth';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

/** One failed attempt; `at` ISO 8601. */
export type RecentError = {
  readonly at: string;
  readonly call: string;
  readonly operation: string;
  readonly code: string;
  readonly status: number | null;
  readonly worker: string;
};

const shown = 5;
const looked = 8;
const freshMs = 2_000;

/** Reads the errors at most every two seconds, and only when calls are delayed, failed or in doubt. */
export class RecentErrors {
  readonly #redis: Redis;
  readonly #queue: Queue;
  #last: { readonly atMs: number; readonly errors: readonly RecentError[] } | undefined;

  constructor({ redis, queue }: { redis: Redis; queue: Queue }) {
    this.#redis = redis;
    this.#queue = queue;
  }

  /** Newest first. */
  async read(depth: QueueDepth, nowMs: number): Promise<readonly RecentError[]> {
    if (depth.delayed + depth.failed + depth.inDoubt === 0) return [];
    if (this.#last !== undefined && nowMs - this.#last.atMs < freshMs) return this.#last.errors;
    const [delayed, failed] = await Promise.all(
      ['delayed', 'failed'].map((part) => this.#redis.zrevrange(this.#queue.toKey(part), 0, looked - 1)),
    );
    const ids = [...(delayed ?? []), ...(failed ?? [])];
    const data = await Promise.all(ids.map((id) => this.#redis.hget(this.#queue.toKey(id), 'data')));
    const errors = ids.flatMap((id, index) => errorsOf(id, data[index] ?? null));
    errors.sort((a, b) => b.at.localeCompare(a.at));
    this.#last = { atMs: nowMs, errors: errors.slice(0, shown) };
    return this.#last.errors;
  }
}

type Entry = { at?: unknown; outcome?: unknown; code?: unknown; status?: unknown; worker?: unknown };

function errorsOf(call: string, text: string | null): RecentError[] {
  if (text === null) return [];
  const data = JSON.parse(text) as { operation?: unknown; history?: Entry[] };
  return (data.history ?? [])
    .slice(-2)
    .filter(({ outcome, at }) => outcome !== 'done' && typeof at === 'string')
    .map(({ at, code, status, worker }) => ({
      at: String(at),
      call,
      operation: String(data.operation ?? ''),
      code: codeOf(code),
      status: typeof status === 'number' ? status : null,
      worker: String(worker ?? ''),
    }));
}

/** Only a code in Recloser's own form is shown. */
function codeOf(code: unknown): string {
  return typeof code === 'string' && /^[a-z][\w.-]{0,60}$/i.test(code) ? code : 'unknown';
}

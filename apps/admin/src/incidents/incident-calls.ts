/**
 * Counts the calls that an outage touched, by their status now. A call is touched when it was accepted before the
 * breaker closed and had not ended when it opened. Each is counted once. `lost` counts ids in a queue without a stored
 * call.
 */
import { timeOfCallId } from '@recloser/calls/call/id';
import { inDoubtKey } from '@recloser/calls/call/keys';
import { type Scored, setSlices } from '@recloser/calls/queue/read-slices';
import { listIds } from '@recloser/calls/read/list-calls';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import type { Incident } from './incidents.ts';

/** Touched calls by status. The five statuses add up to `touched`; lost calls are among them. */
export type IncidentCalls = {
  readonly touched: number;
  readonly succeeded: number;
  /** Failed, expired or cancelled. */
  readonly failed: number;
  readonly inDoubt: number;
  readonly waiting: number;
  readonly running: number;
  readonly lost: number;
  /** When the last touched call ended, in ms; null while some wait or run. */
  readonly drainedAt: number | null;
  /** False when retention may have removed calls, or when too many wait to count all. */
  readonly isComplete: boolean;
};

type End = 'succeeded' | 'failed' | 'inDoubt' | 'waiting' | 'running';
type Ended = {
  readonly id: string;
  readonly createdMs: number;
  readonly endedMs: number | null;
  readonly end: End;
};

/** Only the newest waiting calls are counted: a million would take minutes. */
const mostWaiting = 50_000;

/** The calls of an upstream that its incidents may have touched, read once for all incidents. */
export class CallEnds {
  readonly #calls: readonly Ended[];
  readonly #missing: ReadonlySet<string>;
  /** Retention may have removed calls that succeeded before this time. */
  readonly #keptSinceMs: number;

  readonly #isAll: boolean;

  private constructor(
    calls: readonly Ended[],
    known: { missing: ReadonlySet<string>; keptSinceMs: number; isAll: boolean },
  ) {
    this.#calls = calls;
    this.#missing = known.missing;
    this.#keptSinceMs = known.keptSinceMs;
    this.#isAll = known.isAll;
  }

  /** Reads the calls that had not ended at `sinceMs`. */
  static async read(redis: Redis, upstream: AdminUpstream, sinceMs: number): Promise<CallEnds> {
    const { queue, root } = upstream;
    const running = () => listIds({ redis, queue, root }, { status: 'running' });
    const endedSince = (part: string) => allOf(setSlices(redis, queue.toKey(part), { min: String(sinceMs) }));
    // Read in the order in which calls move, so that none is missed. A call found twice counts where it was found last.
    const before = await running();
    const inLine = await listIds({ redis, queue, root }, { status: 'queued', limit: mostWaiting + 1 });
    const after = await running();
    const [completed, failed, doubtful, oldest] = await Promise.all([
      endedSince('completed'),
      endedSince('failed'),
      allOf(setSlices(redis, inDoubtKey(root))),
      redis.zrange(queue.toKey('completed'), 0, '0', 'WITHSCORES'),
    ]);
    const inDoubt = new Set(doubtful.map(({ id }) => id));
    const met = [
      ...before.map(({ id }) => unfinished(id, 'running')),
      ...inLine.slice(0, mostWaiting).map(({ id }) => unfinished(id, 'waiting')),
      ...after.map(({ id }) => unfinished(id, 'running')),
      ...ended(completed, () => 'succeeded'),
      ...ended(failed, (id) => (inDoubt.has(id) ? 'inDoubt' : 'failed')),
    ];
    const calls = [...new Map(met.map((call) => [call.id, call])).values()];
    return new CallEnds(calls, {
      missing: await missingOf(redis, upstream, calls),
      keptSinceMs: Number(oldest[1] ?? 0),
      isAll: inLine.length <= mostWaiting,
    });
  }

  /** Counts for one incident. */
  of({ openedAt, closedAt }: Incident): IncidentCalls {
    const counts = { succeeded: 0, failed: 0, inDoubt: 0, waiting: 0, running: 0 };
    let lost = 0;
    let lastEndMs = 0;
    for (const { id, createdMs, endedMs, end } of this.#calls) {
      if (createdMs >= (closedAt ?? Number.POSITIVE_INFINITY)) continue;
      if (endedMs !== null && endedMs < openedAt) continue;
      counts[end] += 1;
      lastEndMs = Math.max(lastEndMs, endedMs ?? 0);
      if (this.#missing.has(id)) lost += 1;
    }
    const touched = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const isDrained = closedAt !== null && counts.waiting + counts.running === 0 && lastEndMs > 0;
    return {
      touched,
      ...counts,
      lost,
      drainedAt: isDrained ? lastEndMs : null,
      isComplete: this.#isAll && (this.#keptSinceMs <= openedAt || touched === 0),
    };
  }
}

function ended(calls: readonly Scored[], endOf: (id: string) => End): Ended[] {
  return calls.map(({ id, score }) => ({ id, createdMs: timeOfCallId(id), endedMs: score, end: endOf(id) }));
}

async function allOf(slices: AsyncIterable<readonly Scored[]>): Promise<Scored[]> {
  const all: Scored[] = [];
  for await (const slice of slices) all.push(...slice);
  return all;
}

function unfinished(id: string, end: End): Ended {
  return { id, createdMs: timeOfCallId(id), endedMs: null, end };
}

const page = 1_000;

/** Ids without a stored call. Checked twice, because a call may be removed or moved during the first check. */
async function missingOf(
  redis: Redis,
  { queue }: AdminUpstream,
  calls: readonly Ended[],
): Promise<Set<string>> {
  let suspects = calls.filter(({ endedMs }) => endedMs === null).map(({ id }) => id);
  for (let look = 0; look < 2; look += 1) {
    const gone: string[] = [];
    for (let from = 0; from < suspects.length; from += page) {
      const ids = suspects.slice(from, from + page);
      const reading = redis.pipeline();
      for (const id of ids) reading.exists(queue.toKey(id));
      const replies = (await reading.exec()) ?? [];
      gone.push(...ids.filter((_, index) => replies[index]?.[1] === 0));
    }
    suspects = gone;
  }
  return new Set(suspects);
}

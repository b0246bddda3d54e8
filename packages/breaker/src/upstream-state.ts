/** Read-only views of breakers, for web and admin. */
import type { BreakerRecord, Hold, WorkerView } from './record.ts';
import { createScripts, type RedisConnection } from './scripts.ts';

export type UpstreamState = {
  readonly nowMs: number;
  readonly breaker: BreakerRecord;
  readonly holds: readonly Hold[];
  readonly workers: readonly WorkerView[];
  /** Permits in use while half-open. */
  readonly inFlight: number;
};

/** An event of a breaker, a hold or a worker. `at` in ms. */
export type Transition = {
  readonly id: string;
  readonly at: number;
  readonly kind: string;
  readonly from: string | null;
  readonly to: string;
  readonly generation: number | null;
  readonly reason: string;
  readonly worker: string | null;
  readonly hold: string | null;
  /** If the breaker opened: its retry time in ms. Otherwise null. */
  readonly retryAt: number | null;
  /** What the failing workers had seen at a transition of the breaker. Otherwise empty. */
  readonly evidence: readonly Evidence[];
};

/** Failures that a worker saw since the upstream last worked. `at` in ms: the latest failure. */
export type Evidence = {
  readonly worker: string;
  readonly failures: number;
  readonly lastError: string | null;
  readonly at: number | null;
};

export async function readUpstreamState({
  redis,
  root,
}: {
  redis: RedisConnection;
  root: string;
}): Promise<UpstreamState> {
  return await createScripts(redis, root).run('read');
}

/** Returns the latest transitions, newest first. */
export async function readTransitions({
  redis,
  root,
  count,
}: {
  redis: RedisConnection;
  root: string;
  count: number;
}): Promise<Transition[]> {
  const entries = await redis.xrevrange(`${root}:transitions`, '+', '-', 'COUNT', count);
  return entries.map(([id, flat]) => {
    const fields = new Map<string, string>();
    for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] as string, flat[i + 1] as string);
    return {
      id,
      at: Number(fields.get('at')),
      kind: fields.get('kind') ?? '',
      from: fields.get('from') ?? null,
      to: fields.get('to') ?? '',
      generation: fields.has('generation') ? Number(fields.get('generation')) : null,
      reason: fields.get('reason') ?? '',
      worker: fields.get('worker') ?? null,
      hold: fields.get('hold') ?? null,
      retryAt: Number(fields.get('retryAt')) || null,
      evidence: parseEvidence(JSON.parse(fields.get('evidence') ?? '[]')),
    };
  });
}

/** Returns the current evidence, including that of workers that have left. */
export async function readEvidence({
  redis,
  root,
}: {
  redis: RedisConnection;
  root: string;
}): Promise<Evidence[]> {
  return parseEvidence(Object.entries(await redis.hgetall(`${root}:evidence`)).flat());
}

/** @param flat alternating worker ids and JSON; Lua encodes an empty list as `{}` */
function parseEvidence(flat: unknown): Evidence[] {
  if (!Array.isArray(flat)) return [];
  const found: Evidence[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const seen = JSON.parse(String(flat[i + 1])) as Partial<Evidence> & { rateAt?: number };
    const { failures = 0, lastError = null, at, rateAt } = seen;
    found.push({ worker: String(flat[i]), failures, lastError, at: at ?? rateAt ?? null });
  }
  return found;
}

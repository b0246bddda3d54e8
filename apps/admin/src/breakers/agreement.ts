/**
 * Compares Redis' record, the holds, BullMQ's paused flag and each worker's view. A worker that has not reported since
 * the last change is not a mismatch.
 */
import type { BreakerRecord, Hold, WorkerView } from '@recloser/breaker/record';

/** One mismatch and what repairs it. */
type Mismatch = { readonly what: string; readonly fix: string };

/** One row of the comparison. `agrees` is null while unknown. */
type AgreementRow = { readonly who: string; readonly says: string; readonly agrees: boolean | null };

/** The comparison. */
export type Agreement = {
  readonly rows: readonly AgreementRow[];
  readonly mismatches: readonly Mismatch[];
};

type Seen = {
  readonly breaker: BreakerRecord;
  readonly holds: readonly Hold[];
  readonly paused: boolean;
  readonly workers: readonly WorkerView[];
  readonly nowMs: number;
};

/** For this long after a change a worker's report may be older than the change. */
const settleMs = 3_000;
/** Workers report about every two seconds. A worker that is silent for longer than this is a mismatch. */
const silentMs = 8_000;

const words = { closed: 'closed', open: 'open', half_open: 'half-open' } as const;

export function agreementOf(seen: Seen): Agreement {
  const { breaker, holds, paused, workers, nowMs } = seen;
  const held = holds.length > 0;
  const kinds = holds.map(({ kind }) => kind).join(', ');
  const rows: AgreementRow[] = [
    { who: 'Redis', says: `${words[breaker.state]}, generation ${breaker.generation}`, agrees: true },
    { who: 'Holds', says: held ? kinds : 'none', agrees: true },
    { who: 'Queue', says: paused ? 'paused' : 'running', agrees: paused === held },
    ...workers.map((worker) => rowOf(worker, breaker, nowMs)),
  ];
  const mismatches: Mismatch[] = [];
  const fix =
    workers.length > 0
      ? 'A worker repairs this within 5 seconds. No action is needed.'
      : 'No worker is running to repair this: start one.';
  if (paused && !held) mismatches.push({ what: 'The queue is paused, but no hold is active.', fix });
  if (!paused && held) mismatches.push({ what: `A hold is active (${kinds}), but the queue runs.`, fix });
  for (const worker of workers) {
    const row = rowOf(worker, breaker, nowMs);
    if (row.agrees === false) {
      mismatches.push({
        what: `Worker ${worker.id} sees the breaker ${words[worker.state] ?? worker.state} (generation ${worker.generation}); Redis says ${words[breaker.state]} (generation ${breaker.generation}).`,
        fix: 'Workers see changes within seconds. If this persists, restart the worker: its connection to Redis may be broken.',
      });
    } else if (nowMs - worker.seenAt > silentMs) {
      mismatches.push({
        what: `Worker ${worker.id} last reported ${Math.round((nowMs - worker.seenAt) / 1000)} s ago.`,
        fix: 'After 15 s it counts as dead and other workers take its calls. Check whether its process is frozen.',
      });
    }
  }
  return { rows, mismatches };
}

function rowOf(worker: WorkerView, breaker: BreakerRecord, nowMs: number): AgreementRow {
  const says = `${words[worker.state] ?? worker.state}, generation ${worker.generation}`;
  const same = worker.state === breaker.state && worker.generation === breaker.generation;
  const hasReported = worker.seenAt > breaker.since + settleMs;
  const silent = nowMs - worker.seenAt > silentMs;
  return { who: worker.id, says, agrees: same && !silent ? true : hasReported && !same ? false : null };
}

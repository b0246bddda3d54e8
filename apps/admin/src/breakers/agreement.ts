/**
 * Do all parts see the same? Redis' record and holds, BullMQ's paused flag, and each worker's own view. Pure.
 * Always true: what is merely on its way (a worker that has not reported since the change) is no mismatch.
 */
import type { BreakerRecord, Hold, WorkerView } from '@recloser/breaker/record';

/** One mismatch, and what mends it. */
export type Mismatch = { readonly what: string; readonly fix: string };

/** One line of the comparison. `agrees` null: not known yet. */
export type AgreementRow = { readonly who: string; readonly says: string; readonly agrees: boolean | null };

/** The comparison as the page shows it. */
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

/** So long after a change a worker's report may still be the old one. */
const settleMs = 3_000;
/** Workers report every two seconds or so; one that is silent for longer is named. */
const silentMs = 8_000;

const words = { closed: 'closed', open: 'open', half_open: 'half-open' } as const;

/** Compares. */
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
  const mender =
    workers.length > 0
      ? 'A worker puts that right within 5 seconds; nothing to do.'
      : 'No worker is alive to put it right: start one.';
  if (paused && !held) mismatches.push({ what: 'The queue is paused though no hold says why.', fix: mender });
  if (!paused && held)
    mismatches.push({ what: `A hold is active (${kinds}) but the queue runs.`, fix: mender });
  for (const worker of workers) {
    const row = rowOf(worker, breaker, nowMs);
    if (row.agrees === false) {
      mismatches.push({
        what: `Worker ${worker.id} sees the breaker ${words[worker.state] ?? worker.state} (generation ${worker.generation}); Redis says ${words[breaker.state]} (generation ${breaker.generation}).`,
        fix: 'It learns of changes within seconds. If this stays, its connection to Redis is ill: restart that worker.',
      });
    } else if (nowMs - worker.seenAt > silentMs) {
      mismatches.push({
        what: `Worker ${worker.id} was last heard of ${Math.round((nowMs - worker.seenAt) / 1000)} s ago.`,
        fix: 'After 15 s it counts as gone and others take its calls. Look whether its process is frozen.',
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

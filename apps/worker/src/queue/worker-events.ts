/** The event handlers of a BullMQ worker. Ids go to logs only, never to metrics. */
import type { Log } from '@recloser/runtime/observe/log';

/** The part of a BullMQ worker used here. */
type Watched = {
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'stalled', listener: (jobId: string) => void): unknown;
  on(event: 'lockRenewalFailed', listener: (jobIds: string[]) => void): unknown;
  on(event: 'failed', listener: (job: FinishedJob | undefined, error: Error) => void): unknown;
  on(event: 'completed', listener: (job: FinishedJob) => void): unknown;
  cancelJob(jobId: string, reason?: string): boolean;
};

type FinishedJob = {
  readonly id?: string;
  readonly name: string;
  readonly attemptsMade: number;
  readonly finishedOn?: number;
};

const repeatAfterMs = 10_000;

/** Attaches the handlers. `onStalled` is called for each call whose worker crashed or froze. */
export function watchWorker(
  worker: Watched,
  { log, onStalled }: { readonly log: Log; readonly onStalled: () => void },
): void {
  worker.on('error', errorLog(log, 'worker error'));
  worker.on('stalled', (callId) => {
    onStalled();
    log.warn({ callId }, 'a call stalled and was put back: its worker crashed or froze');
  });
  worker.on('lockRenewalFailed', (callIds) => {
    // Another worker has these calls, or will have them. This worker must not write to them any more.
    for (const callId of callIds) worker.cancelJob(callId, 'the lock was lost');
  });
  worker.on('completed', (job) => {
    log.info({ callId: job.id, job: job.name, attempts: job.attemptsMade }, 'done');
  });
  worker.on('failed', (job, error) => {
    const about = { callId: job?.id, job: job?.name, attempts: job?.attemptsMade, reason: error.message };
    if (job?.finishedOn === undefined) log.info(about, 'failed; will be retried');
    else log.warn(about, 'finished without success');
  });
}

/** Logs errors, but the same error at most every 10 s: without Redis, each reconnect fails. */
export function errorLog(log: Log<'warn'>, message: string): (error: Error) => void {
  const isNew = once(repeatAfterMs);
  return (err) => {
    if (isNew(err.message)) log.warn({ err }, message);
  };
}

/** Returns true for a text that it has not seen within `ms`. */
function once(ms: number): (text: string) => boolean {
  const seen = new Map<string, number>();
  return (text) => {
    const now = performance.now();
    for (const [key, at] of seen) if (now - at > ms) seen.delete(key);
    if (seen.has(text)) return false;
    seen.set(text, now);
    return true;
  };
}

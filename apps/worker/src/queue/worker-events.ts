/** Every handler of a BullMQ worker's events, attached once. Ids go to logs only, never to metrics. */
import type { Logger } from '@recloser/runtime/observe/logger';

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

/** Attaches the handlers. `onStalled` is told of each call whose worker was lost. */
export function watchWorker(
  worker: Watched,
  { log, onStalled }: { readonly log: Logger; readonly onStalled: () => void },
): void {
  worker.on('error', errorLog(log, 'trouble in the worker'));
  worker.on('stalled', (callId) => {
    onStalled();
    log.warn({ callId }, 'a call was left without a living worker and is put back');
  });
  worker.on('lockRenewalFailed', (callIds) => {
    // Another worker has them, or will: what still runs here must not write any more.
    for (const callId of callIds) worker.cancelJob(callId, 'the lock is lost');
  });
  worker.on('completed', (job) => {
    log.info({ callId: job.id, job: job.name, attempts: job.attemptsMade }, 'done');
  });
  worker.on('failed', (job, error) => {
    const about = { callId: job?.id, job: job?.name, attempts: job?.attemptsMade, reason: error.message };
    if (job?.finishedOn === undefined) log.info(about, 'not done, will be tried again');
    else log.warn(about, 'ended without success');
  });
}

/** Logs errors, but the same one seldom: without Redis it comes with every try. */
export function errorLog(log: Logger, message: string): (error: Error) => void {
  const isNew = once(repeatAfterMs);
  return (err) => {
    if (isNew(err.message)) log.warn({ err }, message);
  };
}

/** True for a text that was not seen within `ms`. */
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

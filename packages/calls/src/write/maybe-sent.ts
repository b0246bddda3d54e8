/**
 * Marks waiting writes after a restore from a backup, because they may have been sent after the backup was made. The
 * sending mark makes a worker read back before it sends. A call without proof becomes in doubt. Marking is idempotent.
 * No worker may run meanwhile, or it could take a call before it is marked.
 */
import type { Job, Queue } from 'bullmq';
import { type Envelope, parseEnvelope } from '../call/envelope.ts';

/** Number of marked calls, and of calls that were left unchanged because their envelope cannot be read. */
export type MaybeSent = { readonly marked: number; readonly unreadable: number };

const states = ['active', 'waiting', 'prioritized', 'delayed'] as const;
const sliceSize = 500;

/** Marks every waiting call whose operation `isUnsafe`. If it rejects because Redis failed, run it again. */
export async function markMaybeSent(
  queue: Pick<Queue, 'getJobs'>,
  isUnsafe: (operation: string) => boolean,
): Promise<MaybeSent> {
  const sending = { at: new Date().toISOString(), worker: 'after-restore' };
  const counts = { marked: 0, unreadable: 0 };
  for (const state of states) {
    for (let first = 0; ; first += sliceSize) {
      const jobs = await queue.getJobs([state], first, first + sliceSize - 1, true);
      await Promise.all(jobs.map(mark));
      if (jobs.length < sliceSize) break;
    }
  }
  return counts;

  async function mark(job: Job | undefined): Promise<void> {
    if (!job) return;
    const parsed = parseEnvelope(job.data);
    if (!parsed.ok) counts.unreadable += 1;
    else if (mayHaveBeenSent(parsed.envelope)) {
      await job.updateData({ ...parsed.envelope, sending });
      counts.marked += 1;
    }
  }

  function mayHaveBeenSent(envelope: Envelope): boolean {
    return isUnsafe(envelope.operation) && !envelope.sending && !envelope.settled;
  }
}

/**
 * After a restore from a backup Redis knows nothing of what happened since it was made: a write that waits in it may
 * have been sent meanwhile. The *sending* mark makes a worker ask the upstream first, as after a worker's death, and
 * send only what was proved absent; what cannot be proved goes to a person.
 *
 * Always true: changes only calls that wait and carry no mark; running it twice does no harm. No worker may run
 * meanwhile, or it takes a call before it is marked.
 */
import type { Job, Queue } from 'bullmq';
import { type Envelope, parseEnvelope } from '../call/envelope.ts';

/** How many calls were marked, and how many could not be read and were left as they are. */
export type MaybeSent = { readonly marked: number; readonly unreadable: number };

const states = ['active', 'waiting', 'prioritized', 'delayed'] as const;
const sliceSize = 500;

/** Marks every waiting call of an operation that `isUnsafe`. Rejects when Redis does not answer; run it again then. */
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

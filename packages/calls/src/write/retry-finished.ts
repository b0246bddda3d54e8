/**
 * Makes a call that ended without success wait again, with a fresh count of attempts. Its history stays.
 *
 * Always true: a call that may have been done is never put back from here; the verdict stays in the envelope
 * until a worker takes the call, which then sees that a person asked for it.
 */
import type { Job } from 'bullmq';
import { isLeftInDoubt, parseEnvelope } from '../call/envelope.ts';
import type { RedisClient } from '../call/keys.ts';
import { renewDeadline } from './deadlines.ts';

/** `busy`: it is no longer among the finished ones; somebody else was faster. */
export type RetryEnd = 'waiting' | 'busy' | 'in_doubt' | 'unreadable';

/** Puts a failed, expired or cancelled call back. A limit in the past is lifted, or it would expire at once. */
export async function retryFinished(options: {
  readonly redis: RedisClient;
  readonly root: string;
  readonly job: Job;
  readonly nowMs: number;
}): Promise<RetryEnd> {
  const { redis, root, job, nowMs } = options;
  const parsed = parseEnvelope(job.data);
  if (!parsed.ok) return 'unreadable';
  const { envelope } = parsed;
  if (isLeftInDoubt(envelope)) return 'in_doubt';
  const again = await renewDeadline({ redis, root, id: job.id ?? '', envelope, nowMs });
  if (again !== envelope) await job.updateData(again);
  try {
    await job.retry('failed', { resetAttemptsMade: true });
    return 'waiting';
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === -3 || error.code === -1)) return 'busy';
    throw error;
  }
}

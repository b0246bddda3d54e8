/**
 * One upstream's queue for Bull Board. Pause and resume only set and release the operator hold, so "resume all" does
 * not release a breaker's hold. Data is redacted. A retry never resends a write that may have been done.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import type { QueueJobJson } from '@bull-board/api/typings/app';
import type { Job } from 'bullmq';
import { redactData, redactReturnValue } from '../page/redact.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { defaultHoldMs } from '../upstream/operator-hold.ts';
import type { User } from '../user/accounts.ts';

/** User of the current board request, and whether it is for all queues. Bull Board does not pass these on. */
export const boardRequest = new AsyncLocalStorage<{ readonly user: User; readonly isForAll: boolean }>();

const reason = 'paused in Bull Board';
const resumeReason = 'resumed in Bull Board';

type BoardJob = Awaited<ReturnType<BullMQAdapter['getJob']>>;

/** The adapter of one upstream. */
export class UpstreamQueueAdapter extends BullMQAdapter {
  readonly #upstream: AdminUpstream;

  constructor(upstream: AdminUpstream) {
    const { definition, queue } = upstream;
    // A second run of a succeeded call would do its work twice.
    const options = {
      displayName: definition.title,
      allowCompletedRetries: false,
      externalJobUrl: ({ id }: QueueJobJson) => ({ displayText: 'Open the call', href: `/calls/${id}` }),
    };
    super(queue, options);
    this.#upstream = upstream;
    this.setFormatter('data', (data) => redactData(definition, data));
    this.setFormatter('progress', (progress) => (typeof progress === 'number' ? progress : 0));
  }

  override async pause(): Promise<void> {
    const role = boardRequest.getStore()?.user.role ?? 'operator';
    const forMs = defaultHoldMs(role);
    await this.#upstream.holds.set({ kind: 'operator', owner: actor(), reason, forMs });
  }

  override async resume(): Promise<void> {
    const { holds } = this.#upstream;
    const before = await holds.list();
    const after = await holds.release('operator', { owner: actor(), reason: resumeReason });
    const isMine = before.some(({ kind }) => kind === 'operator');
    // "Resume all" skips queues with other holds. A request for this queue returns why it stays paused.
    if (isMine || after.length === 0 || boardRequest.getStore()?.isForAll) return;
    const kinds = after.map(({ kind }) => kind).join(' and ');
    throw new BoardRefusal(
      `The queue is held by ${kinds}. Resume releases only the operator hold. See the Breakers page.`,
    );
  }

  override async getJob(id: string): Promise<BoardJob> {
    const job = await this.#upstream.queue.getJob(id);
    return job === undefined ? undefined : this.#tame(job, 'one');
  }

  override async getJobs(
    ...args: Parameters<BullMQAdapter['getJobs']>
  ): ReturnType<BullMQAdapter['getJobs']> {
    const jobs = await super.getJobs(...args);
    return (jobs as Job[]).map((job) => this.#tame(job, 'many'));
  }

  /** Job logs are free text that cannot be redacted. The call's history contains the same. */
  override getJobLogs(): Promise<string[]> {
    return Promise.resolve([]);
  }

  /** `many`: "retry all" skips jobs that must not be retried instead of failing. */
  #tame(job: Job, asked: 'one' | 'many'): Job {
    const { definition } = this.#upstream;
    const toJson = job.toJSON.bind(job);
    const retry = job.retry.bind(job);
    job.toJSON = () => {
      const plain = toJson();
      const operation = String((plain.data as { operation?: unknown } | undefined)?.operation ?? plain.name);
      const isDone = plain.returnvalue !== null && plain.returnvalue !== undefined;
      return {
        ...plain,
        stacktrace: [],
        // BullMQ keeps the reason of an earlier attempt, so the board would offer to retry a succeeded call.
        failedReason: isDone ? '' : plain.failedReason,
        returnvalue: redactReturnValue(definition, operation, plain.returnvalue),
      };
    };
    job.retry = async (state) => {
      const refusal = retryRefusal(job, state);
      if (refusal !== null && asked === 'many') return;
      if (refusal !== null) throw new BoardRefusal(refusal);
      // With the old count the call would get a single attempt.
      return await retry(state, { resetAttemptsMade: true });
    };
    return job;
  }
}

/** A refused board request. The board shows the message. */
export class BoardRefusal extends Error {
  readonly code = 'board_refusal';
  readonly statusCode = 409;
  override readonly name = 'BoardRefusal';
}

/** Why this job must not be retried from the board, or null. */
function retryRefusal(job: Job, state: string | undefined): string | null {
  if (state === 'completed') return 'This call succeeded. A retry would do its work twice.';
  const data = job.data as { settled?: { status?: unknown }; sending?: unknown } | undefined;
  const status = data?.settled?.status;
  if (status === 'in_doubt' || (status === undefined && data?.sending !== undefined)) {
    return 'This call may have been done. Settle it on the page "In doubt" instead.';
  }
  if (status === 'cancelled') return 'This call was cancelled. Submit it again instead of retrying it.';
  return null;
}

function actor(): string {
  return boardRequest.getStore()?.user.name ?? 'Bull Board';
}

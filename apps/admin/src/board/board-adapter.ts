/**
 * One upstream's queue for Bull Board. Pause and resume only set and release the operator hold, so "resume all" does
 * not release a breaker's hold. Data is redacted. A retry never resends a write that may have been done.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import type { QueueJobJson } from '@bull-board/api/typings/app';
import { type RetryEnd, retryCall } from '@recloser/calls/write/retry-call';
import type { Redis } from '@recloser/runtime/redis/connection';
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
  readonly #redis: Redis;
  readonly #upstream: AdminUpstream;

  constructor(redis: Redis, upstream: AdminUpstream) {
    const { definition, queue } = upstream;
    // A second run of a succeeded call would do its work twice.
    const options = {
      displayName: definition.title,
      allowCompletedRetries: false,
      externalJobUrl: ({ id }: QueueJobJson) => ({ displayText: 'Open the call', href: `/calls/${id}` }),
    };
    super(queue, options);
    this.#redis = redis;
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

  /** `many`: "retry all" skips cancelled calls, and jobs that must not be retried instead of failing. */
  #tame(job: Job, asked: 'one' | 'many'): Job {
    const { definition } = this.#upstream;
    const toJson = job.toJSON.bind(job);
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
    job.retry = async () => {
      // A cancelled call is retried only when a person picks that call.
      if (asked === 'many' && isCancelled(job)) return;
      const end = await retryCall({ redis: this.#redis, ...this.#upstream }, job.id ?? '', Date.now());
      if (end !== 'waiting' && asked === 'one') throw new BoardRefusal(refusals[end]);
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

const refusals: Readonly<Record<Exclude<RetryEnd, 'waiting'>, string>> = {
  unfinished: 'This call is waiting or running. Another person may have just retried it.',
  succeeded: 'This call succeeded. A retry would do its work twice.',
  in_doubt: 'This call may have been done. Settle it on the page "In doubt" instead.',
  missing: 'This call is no longer stored.',
  unreadable: 'This release cannot read the stored data of this call.',
};

function isCancelled(job: Job): boolean {
  const data = job.data as { readonly settled?: { readonly status?: unknown } } | undefined;
  return data?.settled?.status === 'cancelled';
}

function actor(): string {
  return boardRequest.getStore()?.user.name ?? 'Bull Board';
}

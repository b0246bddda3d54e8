/**
 * One upstream's queue as Bull Board sees it. Always true: pause and resume set and release the operator's
 * hold and touch nothing else, so "resume all" cannot lift a breaker's hold; data is redacted before it
 * leaves; a retry never sends a write again that may have been done.
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

/** Who is behind the board request that runs now, and whether it is about all queues; Bull Board does not say. */
export const boardRequest = new AsyncLocalStorage<{ readonly user: User; readonly isForAll: boolean }>();

const reason = 'paused in Bull Board';
const resumeReason = 'resumed in Bull Board';

type BoardJob = Awaited<ReturnType<BullMQAdapter['getJob']>>;

/** A Bull Board adapter that keeps to the rules above. */
export class UpstreamQueueAdapter extends BullMQAdapter {
  readonly #redis: Redis;
  readonly #upstream: AdminUpstream;

  constructor(redis: Redis, upstream: AdminUpstream) {
    const { definition, queue } = upstream;
    // A succeeded call is never run again: it would do its work twice.
    const options = {
      displayName: definition.title,
      allowCompletedRetries: false,
      externalJobUrl: ({ id }: QueueJobJson) => ({ displayText: 'The call', href: `/calls/${id}` }),
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
    // "Resume all" passes over what it cannot lift; who asked for this queue is told why it stays paused.
    if (isMine || after.length === 0 || boardRequest.getStore()?.isForAll) return;
    const kinds = after.map(({ kind }) => kind).join(' and ');
    throw new BoardRefusal(
      `It is held by ${kinds}. Resume lifts only the operator's hold; see the breaker page.`,
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

  /** Free text the worker logged is not ours to judge here; the history in the data says the same. */
  override getJobLogs(): Promise<string[]> {
    return Promise.resolve([]);
  }

  /** `many`: "retry all" passes over what may not be retried, instead of stopping at it, and over what was cancelled. */
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
        // BullMQ keeps the reason of an earlier attempt, and the board would offer to retry what succeeded.
        failedReason: isDone ? '' : plain.failedReason,
        returnvalue: redactReturnValue(definition, operation, plain.returnvalue),
      };
    };
    job.retry = async () => {
      // A person cancelled it: only who means this very call has it made after all.
      if (asked === 'many' && isCancelled(job)) return;
      const end = await retryCall({ redis: this.#redis, ...this.#upstream }, job.id ?? '', Date.now());
      if (end !== 'waiting' && asked === 'one') throw new BoardRefusal(refusals[end]);
    };
    return job;
  }
}

/** Something Bull Board may not do now; the board shows the message. */
export class BoardRefusal extends Error {
  readonly code = 'board_refusal';
  readonly statusCode = 409;
  override readonly name = 'BoardRefusal';
}

const refusals: Readonly<Record<Exclude<RetryEnd, 'waiting'>, string>> = {
  unfinished: 'This call waits or runs: somebody else may have retried it just now.',
  succeeded: 'This call succeeded. Running it again would do its work twice.',
  in_doubt:
    'This call may have been done: nobody knows. A person has to settle it as done or send it again, at /in-doubt.',
  missing: 'This call is not kept any more.',
  unreadable: 'This release cannot read what is stored of this call.',
};

function isCancelled(job: Job): boolean {
  const data = job.data as { readonly settled?: { readonly status?: unknown } } | undefined;
  return data?.settled?.status === 'cancelled';
}

function actor(): string {
  return boardRequest.getStore()?.user.name ?? 'Bull Board';
}

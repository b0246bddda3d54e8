/**
 * Asks a worker to perform one step of an interactive sign-in, over a separate queue that is never paused. The code
 * that a person types is stored only encrypted. The job is removed as soon as it is answered or times out.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { Job, Queue } from 'bullmq';
import { z } from 'zod';
import { upstreamRoot } from '../call/keys.ts';

/**
 * Data of a sign-in job. A worker refuses a job that is past `expiresAt`, because the requester has stopped waiting.
 */
export const signInJobSchema = z.discriminatedUnion('step', [
  z.strictObject({ v: z.literal(1), step: z.literal('send-code'), expiresAt: z.string() }),
  z.strictObject({
    v: z.literal(1),
    step: z.literal('verify'),
    sealedCode: z.string(),
    expiresAt: z.string(),
  }),
]);

/** Return value of the worker's job. */
export const signInResultSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('code-sent') }),
  z.object({ kind: z.literal('signed-in') }),
  z.object({ kind: z.literal('refused'), code: z.string(), message: z.string() }),
]);

export type SignInJob = z.infer<typeof signInJobSchema>;
export type SignInJobResult = z.infer<typeof signInResultSchema>;

/** A step that the admin requests. `code` is in plain text. */
export type SignInRequest =
  | { readonly step: 'send-code' }
  | { readonly step: 'verify'; readonly code: string };

/** The worker's answer. `no-answer` if the worker failed or did not answer in time. */
export type SignInAnswer =
  | SignInJobResult
  | { readonly kind: 'no-answer'; readonly code: string; readonly message: string };

const pollMs = 150;
const keptSeconds = 60;

/** Name and key prefix of the queue for sign-in requests of an upstream. */
export function signInQueueOptions(prefix: string, upstream: string): { name: string; prefix: string } {
  return { name: `${upstream}-sign-in`, prefix: upstreamRoot(prefix, upstream) };
}

/** Requests the step and waits for the worker's answer, at most `timeoutMs`. Rejects if Redis fails. */
export async function requestSignInStep(options: {
  queue: Queue;
  sealer: Sealer;
  step: SignInRequest;
  timeoutMs: number;
}): Promise<SignInAnswer> {
  const { queue, sealer, step, timeoutMs } = options;
  const deadline = Date.now() + timeoutMs;
  const expiresAt = new Date(deadline).toISOString();
  const data: SignInJob =
    step.step === 'verify'
      ? { v: 1, step: 'verify', sealedCode: sealer.seal(step.code), expiresAt }
      : { v: 1, step: 'send-code', expiresAt };
  const id = `${step.step}-${randomUUID()}`;
  // Kept until the answer is read, then removed below.
  const kept = { age: keptSeconds };
  await queue.add(step.step, data, {
    jobId: id,
    attempts: 1,
    removeOnComplete: kept,
    removeOnFail: kept,
    stackTraceLimit: 0,
  });
  try {
    return await waitForAnswer(queue, id, deadline);
  } finally {
    // A running job cannot be removed. BullMQ removes it by age.
    await queue.remove(id).catch(() => undefined);
  }
}

async function waitForAnswer(queue: Queue, id: string, deadline: number): Promise<SignInAnswer> {
  for (;;) {
    const job: Job | undefined = await queue.getJob(id);
    if (!job) return noAnswer('sign_in_lost', 'The request was removed before a worker answered.');
    if (job.finishedOn !== undefined) return answerOf(job);
    if (Date.now() >= deadline) return noAnswer('sign_in_timeout', 'No worker answered in time.');
    await delay(pollMs);
  }
}

function answerOf(job: Job): SignInAnswer {
  const parsed = signInResultSchema.safeParse(job.returnvalue);
  return parsed.success ? parsed.data : noAnswer('sign_in_failed', 'The worker could not perform this step.');
}

function noAnswer(code: string, message: string): SignInAnswer {
  return { kind: 'no-answer', code, message };
}

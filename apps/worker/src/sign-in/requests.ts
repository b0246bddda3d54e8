/**
 * Runs the steps of an interactive sign-in. The admin app requests them through a queue that is never paused, because
 * only workers connect to upstreams. A code is decrypted in memory only and never logged. A step is never repeated
 * automatically, because each `send-code` sends a text message.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type SignInJob, type SignInJobResult, signInJobSchema } from '@recloser/calls/sign-in/queue';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { SignInStep } from '@recloser/upstreams/contract/upstream';
import type { WorkContext } from '../call/work-context.ts';
import type { JobProcessor } from '../queue/call-worker.ts';

type SignInContext = Pick<WorkContext, 'upstream' | 'workerId' | 'client' | 'sealer' | 'log' | 'stop'> & {
  readonly breaker: Pick<WorkContext['breaker'], 'holds'>;
};

const releaseRounds = 5;
const releasePauseMs = 500;

/** Creates the processor of the queue `<upstream>-sign-in`. It throws only for internal errors. */
export function signInProcessor(context: SignInContext): JobProcessor<SignInJob, SignInJobResult> {
  return async (job, _token, signal) => {
    const parsed = signInJobSchema.safeParse(job.data);
    if (!parsed.success) return refused('request_invalid', 'The worker does not understand this request.');
    const leftMs = Date.parse(parsed.data.expiresAt) - Date.now();
    if (!(leftMs > 0)) return refused('request_expired', 'The request has expired.');
    if (!context.client.signInStep)
      return refused('not_offered', 'This upstream has no interactive sign-in.');
    const step = openStep(parsed.data, context.sealer);
    if (!step)
      return refused(
        'code_unreadable',
        'The worker cannot decrypt the code. Check that all processes have the same SESSION_KEY.',
      );
    const ends = AbortSignal.any([signal, context.stop.signal, AbortSignal.timeout(Math.ceil(leftMs))]);
    const result = await context.client.signInStep(step, ends);
    context.log.info(
      { step: step.step, result: result.kind, ...(result.kind === 'refused' && { reason: result.code }) },
      'ran a sign-in step',
    );
    if (result.kind === 'signed-in') await releaseHold(context);
    return result;
  };
}

function openStep(request: SignInJob, sealer: Sealer): SignInStep | undefined {
  if (request.step === 'send-code') return { step: 'send-code' };
  try {
    return { step: 'verify', code: sealer.open(request.sealedCode) };
  } catch {
    return undefined;
  }
}

/** The session is already stored, so a hold that stays would defer calls for no reason. */
async function releaseHold({ breaker, workerId, log }: SignInContext): Promise<void> {
  for (let round = 1; ; round += 1) {
    try {
      await breaker.holds.release('sign-in', { owner: workerId, reason: 'a person has signed in' });
      return;
    } catch (err) {
      if (round === releaseRounds) {
        log.error({ err }, 'signed in, but the sign-in hold could not be released; release it manually');
        return;
      }
      await pause(releasePauseMs);
    }
  }
}

function refused(code: string, message: string): SignInJobResult {
  return { kind: 'refused', code, message };
}

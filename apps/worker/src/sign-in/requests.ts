/**
 * Takes the steps of an interactive sign-in that the admin app asks for, over a queue of its own that is never
 * paused. Only the worker talks to upstreams, so the admin asks a worker.
 *
 * Always true: a code is opened in memory only and never logged; a step is never taken twice by itself (each
 * `send-code` texts a person's phone); a session is in place before the `sign-in` hold is released.
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

const releaseTries = 5;
const releasePauseMs = 500;

/** What the worker of `<upstream>-sign-in` runs. An answer is a result; only our own faults throw. */
export function signInProcessor(context: SignInContext): JobProcessor<SignInJob, SignInJobResult> {
  return async (job, _token, signal) => {
    const parsed = signInJobSchema.safeParse(job.data);
    if (!parsed.success) return refused('request_invalid', 'This request cannot be read by this release.');
    const leftMs = Date.parse(parsed.data.expiresAt) - Date.now();
    if (!(leftMs > 0)) return refused('request_expired', 'Nobody waits for this step any more.');
    if (!context.client.signInStep) return refused('not_offered', 'This upstream has no such sign-in.');
    const step = openStep(parsed.data, context.sealer);
    if (!step)
      return refused('code_unreadable', 'The code cannot be opened; is SESSION_KEY the same everywhere?');
    const ends = AbortSignal.any([signal, context.stop.signal, AbortSignal.timeout(Math.ceil(leftMs))]);
    const result = await context.client.signInStep(step, ends);
    context.log.info(
      { step: step.step, result: result.kind, ...(result.kind === 'refused' && { reason: result.code }) },
      'took a step of a sign-in',
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

/** The session is there already: a hold that stayed would keep calls waiting for nothing. */
async function releaseHold({ breaker, workerId, log }: SignInContext): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await breaker.holds.release('sign-in', { owner: workerId, reason: 'a person has signed in' });
      return;
    } catch (err) {
      if (tried === releaseTries) {
        log.error({ err }, 'signed in, but the sign-in hold could not be released: release it by hand');
        return;
      }
      await pause(releasePauseMs);
    }
  }
}

function refused(code: string, message: string): SignInJobResult {
  return { kind: 'refused', code, message };
}

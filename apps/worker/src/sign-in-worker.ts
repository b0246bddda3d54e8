/** A worker of its own for sign-ins, so that a person never waits behind calls. */
import { type SignInJob, type SignInJobResult, signInQueueOptions } from '@recloser/calls/sign-in-queue';
import type { Logger } from '@recloser/runtime/logger';
import type { Redis } from '@recloser/runtime/redis';
import { CallWorker } from './call-worker.ts';
import { signInProcessor } from './sign-in-requests.ts';
import type { WorkContext } from './work-context.ts';
import { watchWorker } from './worker-events.ts';

/** The worker that takes the steps of a person's sign-in at one upstream. */
export function createSignInWorker(
  context: WorkContext,
  options: { readonly prefix: string; readonly connection: Redis; readonly log: Logger },
): CallWorker<SignInJob, SignInJobResult> {
  const { prefix, connection, log } = options;
  const { timings, upstream, workerId } = context;
  const { name, ...where } = signInQueueOptions(prefix, upstream);
  const worker = new CallWorker<SignInJob, SignInJobResult>(name, signInProcessor(context), {
    ...where,
    connection,
    name: workerId,
    timings,
    // A lost step is not taken again: it would text the person's phone once more.
    maxStalledCount: 0,
  });
  watchWorker(worker, { log, onStalled: () => {} });
  return worker;
}

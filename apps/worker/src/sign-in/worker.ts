/** A worker of its own for sign-ins, so that a person never waits behind calls. */
import { type SignInJob, type SignInJobResult, signInQueueOptions } from '@recloser/calls/sign-in/queue';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { WorkContext } from '../call/work-context.ts';
import { CallWorker } from '../queue/call-worker.ts';
import { watchWorker } from '../queue/worker-events.ts';
import { signInProcessor } from './requests.ts';

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

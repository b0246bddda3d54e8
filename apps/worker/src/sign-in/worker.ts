/** The worker of an upstream's sign-in queue. Sign-ins have their own queue so that a person never waits for calls. */
import { type SignInJob, type SignInJobResult, signInQueueOptions } from '@recloser/calls/sign-in/queue';
import type { Log } from '@recloser/runtime/observe/log';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { WorkContext } from '../call/work-context.ts';
import { CallWorker } from '../queue/call-worker.ts';
import { watchWorker } from '../queue/worker-events.ts';
import { signInProcessor } from './requests.ts';

export function createSignInWorker(
  context: WorkContext,
  options: { readonly prefix: string; readonly connection: Redis; readonly log: Log },
): CallWorker<SignInJob, SignInJobResult> {
  const { prefix, connection, log } = options;
  const { timings, upstream, workerId } = context;
  const { name, ...where } = signInQueueOptions(prefix, upstream);
  const worker = new CallWorker<SignInJob, SignInJobResult>(name, signInProcessor(context), {
    ...where,
    connection,
    name: workerId,
    timings,
    // A stalled step is not repeated, because it would send another text message.
    maxStalledCount: 0,
  });
  watchWorker(worker, { log, onStalled: () => {} });
  return worker;
}

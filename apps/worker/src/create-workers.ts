/**
 * The workers of this process, one per upstream, and how they stop together.
 *
 * Always true: stopping has two phases. Quiet: nothing new is taken, what runs may finish until the deadline.
 * Then what is left is cut short and given back unspent; an unsafe call that was already sent keeps its mark
 * and will be read back by whoever takes it next.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { upstreamRoot } from '@recloser/calls/call/keys';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Metrics } from '@recloser/runtime/observe/metrics';
import type { Tracing } from '@recloser/runtime/observe/tracing';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import { createClient } from '@recloser/upstreams/clients';
import { definitions } from '@recloser/upstreams/definitions';
import { SessionStore } from '@recloser/upstreams/session/store';
import { createWorkerMetrics } from './call/worker-metrics.ts';
import type { CallbackWorker } from './callback/worker.ts';
import type { WorkerConfig } from './config.ts';
import type { StopSwitch } from './queue/stop-switch.ts';
import type { Upkeep } from './upkeep/upkeep.ts';
import { UpstreamWorker, type UpstreamWorkerOptions } from './upstream-worker.ts';

export type WorkersOptions = {
  readonly config: Pick<WorkerConfig, 'upstreams' | 'REDIS_PREFIX' | 'WORKER_CONCURRENCY'> &
    Partial<Pick<WorkerConfig, 'READ_BACK_WAITS_MS' | 'SIGN_IN_LIMIT'>>;
  readonly connections: UpstreamWorkerOptions['connections'];
  readonly worker: UpstreamWorkerOptions['worker'];
  readonly sealer: Sealer;
  readonly metrics: Metrics;
  readonly tracing?: Tracing;
  readonly log: Logger;
  readonly stop: StopSwitch;
  readonly confirmWritten?: UpstreamWorkerOptions['confirmWritten'];
  readonly callbacks?: Pick<CallbackWorker, 'announce'> | undefined;
  readonly upkeep?: Pick<Upkeep, 'watch' | 'ended'>;
};

/** Makes, but does not start, one worker per configured upstream. */
export function createWorkers(options: WorkersOptions): readonly UpstreamWorker[] {
  const { config, connections, worker, sealer } = options;
  const metricsOf = createWorkerMetrics(options.metrics);
  return config.upstreams.map(({ name, settings }) => {
    const log = options.log.child({ upstream: name, worker: worker.id });
    const root = upstreamRoot(config.REDIS_PREFIX, name);
    const sessions = new SessionStore({
      redis: connections.fast,
      root,
      sealer,
      worker: worker.id,
      pace: config.SIGN_IN_LIMIT === undefined ? {} : { signIns: config.SIGN_IN_LIMIT },
      onSignedIn: () => made.signedIn(),
    });
    const metrics = metricsOf(name);
    const made: UpstreamWorker = new UpstreamWorker({
      definition: definitions[name],
      settings,
      client: createClient(name, { settings, sessions, log }),
      prefix: config.REDIS_PREFIX,
      connections,
      confirmWritten: options.confirmWritten,
      worker,
      concurrency: config.WORKER_CONCURRENCY,
      sealer,
      metrics,
      tracing: options.tracing,
      log,
      stop: options.stop,
      timings: config.READ_BACK_WAITS_MS ? { readBackWaitsMs: config.READ_BACK_WAITS_MS } : {},
      onEnded: (job) => {
        options.callbacks?.announce(name, job);
        options.upkeep?.ended(root, job);
      },
    });
    options.upkeep?.watch({ root, queue: made.queue, metrics });
    return made;
  });
}

/** Stops all workers within about `deadlineMs` plus what giving back takes. Rejects if a worker cannot close. */
export async function stopWorkers(
  workers: readonly Pick<UpstreamWorker, 'quiet' | 'close'>[],
  { stop, deadlineMs, log }: { stop: StopSwitch; deadlineMs: number; log: Pick<Logger, 'warn'> },
): Promise<void> {
  stop.beQuiet();
  await Promise.all(workers.map((worker) => worker.quiet()));
  const closed = Promise.all(workers.map((worker) => worker.close())).then(() => true);
  const deadline = new AbortController();
  const inTime = await Promise.race([
    closed,
    pause(deadlineMs, false, { signal: deadline.signal }).catch(() => false),
  ]);
  if (!inTime) {
    log.warn({ deadlineMs }, 'calls are still running: cutting them short and giving them back');
    stop.abortAll();
  }
  deadline.abort();
  await closed;
}

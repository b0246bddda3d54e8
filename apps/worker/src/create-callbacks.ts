import type { Logger } from '@recloser/runtime/observe/logger';
import type { Metrics } from '@recloser/runtime/observe/metrics';
import { upstreamNames } from '@recloser/upstreams/definitions';
import { createCallbackMetrics } from './callback/metrics.ts';
import { loadCallbackSigner } from './callback/secrets.ts';
import { CallbackWorker, type CallbackWorkerOptions } from './callback/worker.ts';
import type { WorkerConfig } from './config.ts';

type Options = Pick<CallbackWorkerOptions, 'connections' | 'workerId' | 'sealer' | 'stop'> & {
  readonly config: WorkerConfig;
  readonly metrics: Metrics;
  readonly log: Logger;
};

/**
 * Creates the callback worker, or none if `CALLBACK_HOSTS` is unset. Does not start it. Throws `ConfigError` if the
 * secrets are missing or malformed.
 */
export function createCallbacks({ config, metrics, log, ...shared }: Options): CallbackWorker | undefined {
  if (config.callbackHosts === null) return undefined;
  return new CallbackWorker({
    ...shared,
    upstreams: upstreamNames,
    prefix: config.REDIS_PREFIX,
    hosts: config.callbackHosts,
    signer: loadCallbackSigner({ ...config, dataDir: config.DATA_DIR }),
    timeoutMs: config.CALLBACK_TIMEOUT_MS,
    retryWaitsMs: config.CALLBACK_RETRY_SECONDS.map((seconds) => seconds * 1000),
    breaker: { failMax: config.CALLBACK_BREAKER_FAIL_MAX, resetMs: config.CALLBACK_BREAKER_RESET_MS },
    metrics: createCallbackMetrics(metrics),
    log: log.child({ worker: shared.workerId }),
  });
}

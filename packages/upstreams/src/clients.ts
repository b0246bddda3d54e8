/** The registry of upstream clients. Only the worker loads it. */
import type { UpstreamClient } from './contract/upstream.ts';
import { createCrossmarkClient } from './crossmark/client.ts';
import type { UpstreamName } from './definitions.ts';
import type { ClientOptions } from './session/client-options.ts';
import { createWalmartEdrClient } from './walmart-edr/client.ts';

const factories = {
  crossmark: createCrossmarkClient,
  'walmart-edr': createWalmartEdrClient,
} satisfies Record<UpstreamName, (options: ClientOptions) => UpstreamClient>;

/** Creates the client of one upstream. Close it when done. */
export function createClient(name: UpstreamName, options: ClientOptions): UpstreamClient {
  return factories[name](options);
}

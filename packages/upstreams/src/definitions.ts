/** Every upstream's light definition. Adding an upstream is one line here, in clients.ts and in simulations.ts. */

import type { UpstreamDefinition } from './contract/upstream.ts';
import { crossmark } from './crossmark/definition.ts';
import { walmartEdr } from './walmart-edr/definition.ts';

/** Name → definition. The names come from here. */
export const definitions = {
  crossmark,
  'walmart-edr': walmartEdr,
} as const satisfies Record<string, UpstreamDefinition>;

/** Name of an upstream. */
export type UpstreamName = keyof typeof definitions;

/** All upstream names, in the order of the registry. */
export const upstreamNames = Object.keys(definitions) as readonly UpstreamName[];

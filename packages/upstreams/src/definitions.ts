/** The registry of upstream definitions. See docs/add-an-upstream.md. */
import type { UpstreamDefinition } from './contract/upstream.ts';
import { crossmark } from './crossmark/definition.ts';
import { walmartEdr } from './walmart-edr/definition.ts';

export const definitions = {
  crossmark,
  'walmart-edr': walmartEdr,
} as const satisfies Record<string, UpstreamDefinition>;

export type UpstreamName = keyof typeof definitions;

export const upstreamNames = Object.keys(definitions) as readonly UpstreamName[];

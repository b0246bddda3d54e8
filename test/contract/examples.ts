/** Every upstream's examples, found by its folder, so that a new upstream needs no change here. */

import type { Examples } from '@recloser/upstreams/contract/examples';
import { type UpstreamName, upstreamNames } from '@recloser/upstreams/definitions';

export const examples = Object.fromEntries(
  await Promise.all(
    upstreamNames.map(async (name) => {
      const module = (await import(`@recloser/upstreams/${name}/examples`)) as { examples: Examples };
      return [name, module.examples] as const;
    }),
  ),
) as Readonly<Record<UpstreamName, Examples>>;

/** Every upstream's examples, out of its own folder: a new upstream needs no line here. */

import type { Examples } from '@recloser/upstreams/contract/examples';
import { type UpstreamName, upstreamNames } from '@recloser/upstreams/definitions';

/** Upstream → examples. */
export const examples = Object.fromEntries(
  await Promise.all(
    upstreamNames.map(async (name) => {
      const module = (await import(`@recloser/upstreams/${name}/examples`)) as { examples: Examples };
      return [name, module.examples] as const;
    }),
  ),
) as Readonly<Record<UpstreamName, Examples>>;

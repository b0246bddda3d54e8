/** Reads the placement and holds of a call right after it was stored, for the 202. */
import { readPlacements } from '@recloser/calls/queue/placement';
import type { Look, LookAtCall, WebDeps, WebUpstream } from '../http/web-deps.ts';
import { batchPerTurn } from './batch-per-turn.ts';

/** Lookups of one upstream in the same turn share one round trip. */
export function createLookAtCall(
  deps: Pick<WebDeps, 'redis' | 'readUpstreamState' | 'throughput'>,
): LookAtCall {
  const looks = new Map<WebUpstream, (id: string) => Promise<Look>>();

  function lookAtAll(upstream: WebUpstream): (id: string) => Promise<Look> {
    return batchPerTurn(async (ids: readonly string[]) => {
      const [state, placements, throughput] = await Promise.all([
        deps.readUpstreamState(upstream),
        readPlacements({ redis: deps.redis, queue: upstream.queue, ids }),
        deps.throughput.read(upstream),
      ]);
      return placements.map((placement) => ({ state, placement, throughput }));
    });
  }

  return (upstream, id) => {
    let look = looks.get(upstream);
    if (!look) {
      look = lookAtAll(upstream);
      looks.set(upstream, look);
    }
    return look(id);
  };
}

/** Tells the workers which operations are requested with `ifOpen: "stale"`. */

import { wantLastGood } from '@recloser/calls/write/last-good';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { WebDeps } from '../http/web-deps.ts';

const repeatMs = 60_000;

/** Writes at most once a minute per operation. A failed write is repeated with the next request. */
export function createNoteWanted(redis: Redis): WebDeps['noteWanted'] {
  const noted = new Map<string, number>();
  return ({ root }, operation) => {
    const key = `${root} ${operation}`;
    if (Date.now() - (noted.get(key) ?? 0) < repeatMs) return;
    noted.set(key, Date.now());
    wantLastGood({ redis, root }, operation).catch(() => noted.delete(key));
  };
}

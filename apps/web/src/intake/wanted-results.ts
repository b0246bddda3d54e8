/** Tells the workers which results are asked for when stale, seldom enough to cost nothing. */

import { wantLastGood } from '@recloser/calls/write/last-good';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { WebDeps } from '../http/web-deps.ts';

const repeatMs = 60_000;

/** Notes an operation at most once a minute; a note that fails is made again with the next request. */
export function createNoteWanted(redis: Redis): WebDeps['noteWanted'] {
  const noted = new Map<string, number>();
  return ({ root }, operation) => {
    const key = `${root} ${operation}`;
    if (Date.now() - (noted.get(key) ?? 0) < repeatMs) return;
    noted.set(key, Date.now());
    wantLastGood({ redis, root }, operation).catch(() => noted.delete(key));
  };
}

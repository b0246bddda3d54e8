/**
 * What a worker needs to make a call: an operation, an envelope version, a session key. A need that no live worker
 * meets is recorded in Redis, for pages and metrics, as long as workers encounter calls with it.
 */

import type { Redis } from '@recloser/runtime/redis/connection';
import type { Advert } from './advert.ts';

export type Need =
  | { readonly kind: 'operation'; readonly name: string }
  | { readonly kind: 'envelope'; readonly version: number }
  /** `fingerprint` is null if an older release stored the call without one. */
  | { readonly kind: 'session-key'; readonly fingerprint: string | null };

/** How long a need is reported after a worker last encountered it. */
export const needStandsMs = 60_000;

const longestName = 100;

/** The stored form of a need. */
export function needText(need: Need): string {
  switch (need.kind) {
    case 'operation':
      return `operation ${need.name.slice(0, longestName)}`;
    case 'envelope':
      return `envelope ${need.version}`;
    case 'session-key':
      return `session-key ${need.fingerprint ?? 'unknown'}`;
    default:
      return need satisfies never;
  }
}

/** A need as a phrase for people. */
export function needInWords(need: Need): string {
  switch (need.kind) {
    case 'operation':
      return `calls of the operation ${need.name.slice(0, longestName)}, which only another release knows`;
    case 'envelope':
      return `calls stored by a newer release (envelope version ${need.version})`;
    case 'session-key':
      return need.fingerprint === null
        ? 'calls encrypted with another SESSION_KEY'
        : `calls encrypted with another SESSION_KEY (fingerprint ${need.fingerprint})`;
    default:
      return need satisfies never;
  }
}

/**
 * True if a worker with this advert may meet the need. A worker without an advert may. If the fingerprint of the key is
 * unknown, `failed` lists the keys that could not decrypt the call.
 */
export function mayMeet(advert: Advert | null, need: Need, failed: readonly string[]): boolean {
  if (advert === null) return true;
  switch (need.kind) {
    case 'operation':
      return advert.operations.includes(need.name);
    case 'envelope':
      return advert.envelopes.includes(need.version);
    case 'session-key':
      return need.fingerprint === null
        ? advert.keys.some((key) => !failed.includes(key))
        : advert.keys.includes(need.fingerprint);
    default:
      return need satisfies never;
  }
}

type Where = { readonly redis: Redis; readonly root: string };

/** Sorted set: need → when a worker last encountered it, in ms. */
function unmetKey(root: string): string {
  return `${root}:unmet-needs`;
}

/** Records an unmet need. Returns true if no process has recorded it recently. */
export async function noteUnmet({ redis, root }: Where, need: Need): Promise<boolean> {
  const key = unmetKey(root);
  const nowMs = Date.now();
  await redis.zremrangebyscore(key, '-inf', nowMs - needStandsMs);
  const added = await redis.zadd(key, nowMs, needText(need));
  await redis.pexpire(key, needStandsMs);
  return added === 1;
}

/** The recent unmet needs. Rejects if Redis fails. */
export async function readUnmet({ redis, root }: Where): Promise<Need[]> {
  const texts = await redis.zrangebyscore(unmetKey(root), Date.now() - needStandsMs, '+inf');
  return texts.flatMap((text) => parseNeed(text) ?? []);
}

function parseNeed(text: string): Need | undefined {
  const [, kind, value = ''] = /^(\S+) (.*)$/s.exec(text) ?? [];
  if (kind === 'operation') return { kind, name: value };
  if (kind === 'envelope') return { kind, version: Number(value) };
  if (kind === 'session-key') return { kind, fingerprint: value === 'unknown' ? null : value };
  return undefined;
}

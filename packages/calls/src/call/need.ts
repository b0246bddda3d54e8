/**
 * What a worker needs for a call and may not have: an operation, a version of the envelope, a session key. A need that
 * no live worker meets is kept in Redis for as long as calls with it are met, for the people who look.
 */

import type { Redis } from '@recloser/runtime/redis/connection';
import type { Advert } from './advert.ts';

export type Need =
  | { readonly kind: 'operation'; readonly name: string }
  | { readonly kind: 'envelope'; readonly version: number }
  /** `fingerprint` null: the call does not say which key, as one of an older release. */
  | { readonly kind: 'session-key'; readonly fingerprint: string | null };

/** How long a need stands after it was met last. */
export const needStandsMs = 60_000;

const longestName = 100;

/** A need as one word. */
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

/** A need as a person reads it. */
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
 * Whether a worker may have what a call needs. One that says nothing of itself may. Where the call does not say which
 * key it needs, `failed` are those that did not open it.
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

/** Sorted set: need → when a call with it was met last, in ms. */
function unmetKey(root: string): string {
  return `${root}:unmet-needs`;
}

/** Notes that no live worker meets a need. True for the first note of it in a while, of whichever process. */
export async function noteUnmet({ redis, root }: Where, need: Need): Promise<boolean> {
  const key = unmetKey(root);
  const nowMs = Date.now();
  await redis.zremrangebyscore(key, '-inf', nowMs - needStandsMs);
  const added = await redis.zadd(key, nowMs, needText(need));
  await redis.pexpire(key, needStandsMs);
  return added === 1;
}

/** The needs that no live worker met lately. Rejects when Redis cannot be read. */
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

/**
 * Who may use the API. Keys are configured as SHA-256 digests, so the configuration does not give them away.
 *
 * Always true: every configured key is compared, in constant time each, whether or not one matched already.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

/** One configured key. */
export type ApiKey = { readonly name: string; readonly digest: Buffer };

/** What a request's `Authorization` showed. `name` is undefined while the API is open. */
export type Authentication =
  | { readonly kind: 'ok'; readonly name: string | undefined }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unknown' };

const entryPattern = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):([0-9a-fA-F]{64})$/;

/** Parses `name:sha256-hex,…`. The problem never repeats the value. */
export function parseApiKeys(text: string): { ok: true; keys: ApiKey[] } | { ok: false; problem: string } {
  const entries = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const keys: ApiKey[] = [];
  for (const [index, entry] of entries.entries()) {
    const match = entryPattern.exec(entry);
    if (!match?.[1] || !match[2]) {
      return { ok: false, problem: `entry ${index + 1} must be name:<64 hex digits of the key's SHA-256>` };
    }
    if (keys.some(({ name }) => name === match[1])) {
      return { ok: false, problem: `entry ${index + 1} repeats a name; every key needs its own` };
    }
    keys.push({ name: match[1], digest: Buffer.from(match[2], 'hex') });
  }
  return { ok: true, keys };
}

/** Judges an `Authorization` header. Without configured keys everyone is let in. */
export function authenticate(keys: readonly ApiKey[], header: string | undefined): Authentication {
  if (keys.length === 0) return { kind: 'ok', name: undefined };
  const secret = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? '')?.[1];
  if (secret === undefined) return { kind: 'missing' };
  const digest = createHash('sha256').update(secret).digest();
  let name: string | undefined;
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) name = key.name;
  return name === undefined ? { kind: 'unknown' } : { kind: 'ok', name };
}

/** Authentication by API key. Keys are configured as SHA-256 digests, so the configuration does not reveal them. */
import { hash, timingSafeEqual } from 'node:crypto';

/** The scopes of a key. */
export const scopes = ['submit', 'read', 'operate'] as const;

export type Scope = (typeof scopes)[number];

/** A configured key. A key without `scopes` has all scopes. */
export type ApiKey = { readonly name: string; readonly digest: Buffer; readonly scopes?: readonly Scope[] };

/** The result of checking an `Authorization` header. */
export type Authentication =
  | { readonly kind: 'ok'; readonly name: string; readonly scopes?: readonly Scope[] }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unknown' };

const entryPattern = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):([0-9a-fA-F]{64})(?::([a-z+]*))?$/;

/**
 * Parses `name:sha256-hex[:scope+scope]`, separated by commas or newlines, with comments after `#`. While a key is
 * being replaced, its name may have two digests. `problem` never repeats a value.
 */
export function parseApiKeys(text: string): { ok: true; keys: ApiKey[] } | { ok: false; problem: string } {
  const entries = text
    .replace(/#.*$/gm, '')
    .split(/[,\n]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const keys: ApiKey[] = [];
  for (const [index, entry] of entries.entries()) {
    const [, name, hex, listed] = entryPattern.exec(entry) ?? [];
    const allowed = listed?.split('+');
    if (!name || !hex || !(allowed ?? []).every(isScope)) {
      const form =
        'name:<SHA-256 of the key as 64 hex digits>, optionally followed by scopes such as :submit+read+operate';
      return { ok: false, problem: `entry ${index + 1} must be ${form}` };
    }
    const digest = Buffer.from(hex, 'hex');
    if (keys.some((key) => key.name === name && key.digest.equals(digest))) {
      return { ok: false, problem: `entry ${index + 1} is a duplicate` };
    }
    keys.push({ name, digest, ...(allowed && { scopes: allowed.filter(isScope) }) });
  }
  return { ok: true, keys };
}

/**
 * Checks an `Authorization` header. Compares every key in constant time, so timing does not reveal which one matched.
 */
export function authenticate(keys: readonly ApiKey[], header: string | undefined): Authentication {
  const secret = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? '')?.[1];
  if (secret === undefined) return { kind: 'missing' };
  const digest = hash('sha256', secret, 'buffer');
  let found: ApiKey | undefined;
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) found = key;
  if (!found) return { kind: 'unknown' };
  return { kind: 'ok', name: found.name, ...(found.scopes && { scopes: found.scopes }) };
}

function isScope(text: string): text is Scope {
  return (scopes as readonly string[]).includes(text);
}

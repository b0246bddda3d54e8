/**
 * Who may use the API. Keys are configured as SHA-256 digests, so the configuration does not give them away.
 *
 * Always true: every configured key is compared, in constant time each, whether or not one matched already.
 */
import { hash, timingSafeEqual } from 'node:crypto';

/** What a key may be used for. */
export const scopes = ['submit', 'read', 'operate'] as const;

export type Scope = (typeof scopes)[number];

/** One configured key. Without `scopes` it may do everything. */
export type ApiKey = { readonly name: string; readonly digest: Buffer; readonly scopes?: readonly Scope[] };

/** What a request's `Authorization` showed. */
export type Authentication =
  | { readonly kind: 'ok'; readonly name: string; readonly scopes?: readonly Scope[] }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unknown' };

const entryPattern = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):([0-9a-fA-F]{64})(?::([a-z+]*))?$/;

/**
 * Parses `name:sha256-hex[:scope+scope],…`; a file may have an entry per line and comments after `#`. A name may
 * come with two digests while a key is being replaced. The problem never repeats the value.
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
      const form = "name:<64 hex digits of the key's SHA-256>, and if you like :submit+read+operate or less";
      return { ok: false, problem: `entry ${index + 1} must be ${form}` };
    }
    const digest = Buffer.from(hex, 'hex');
    if (keys.some((key) => key.name === name && key.digest.equals(digest))) {
      return { ok: false, problem: `entry ${index + 1} is there twice` };
    }
    keys.push({ name, digest, ...(allowed && { scopes: allowed.filter(isScope) }) });
  }
  return { ok: true, keys };
}

/** Judges an `Authorization` header. */
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

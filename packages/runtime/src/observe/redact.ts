/**
 * Makes any value safe to log. Removes secrets and personal data by key and by pattern.
 *
 * Copies only plain objects, arrays, dates and errors. Other objects (sockets, requests, clients) become their class
 * name, because they hold options, headers and bodies. Errors lose properties that libraries add: a got error holds
 * the whole request.
 */

const maxDepth = 8;
const maxEntries = 100;
const removed = '[removed]';

/** Compared in lower case without punctuation, so that `set-cookie`, `setCookie` and `Set-Cookie` match. */
const secretKeys = new Set(
  [
    'password passwd pwd secret apikey apikeys sessionkey privatekey authorization proxyauthorization cookie cookies',
    'setcookie token tokens accesstoken refreshtoken authtoken bearer jwt phpsessid session sessionid csrf otp credid',
    'mfacredentialid mfatoken hash offlinehash credentials userid userids username user accesscode salestoolurl mergedpdf',
    'title fullname firstname lastname namesort repname reps staffedreps email additionalemail emails phone',
    'phonenumber mobile employeeid repmvid creatorid lasteditedid lastchangeuserid lastchangeuser comments',
    'pendingworkreasoncomments input body rawbody form formdata payload postdata claimnbr demofeeamt democost',
  ]
    .join(' ')
    .split(' '),
);

const patterns: readonly (readonly [RegExp, string])[] = [
  [/\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?/g, removed], // JSON web tokens
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${removed}`],
  [/(:\/\/)[^/\s@]+@/g, `$1${removed}@`], // user:password@ in a URL
  [/\b(PHPSESSID|auth-token|_auth|_refreshAuth|mfaToken|PA\.[\w.]+|RL\w+)=[^;\s"',]+/g, `$1=${removed}`],
  [/([?&](?:X-Amz-[\w-]+|signature|sig|token|password|code)=)[^&\s"']+/gi, `$1${removed}`],
];
const suspicious = /eyJ|bearer|basic|@|=/i;

/** Removes secrets that match a known pattern from free text. */
export function redactText(text: string): string {
  if (!suspicious.test(text)) return text;
  return patterns.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), text);
}

type SafeError = {
  readonly type: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  readonly cause?: SafeError;
};

/** Keeps up to three causes. */
function safeError(error: Error, depth = 0): SafeError {
  const code = (error as { code?: unknown }).code;
  return {
    type: error.constructor?.name || error.name,
    message: redactText(String(error.message)),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(error.stack && { stack: redactText(error.stack) }),
    ...(error.cause instanceof Error && depth < 3 && { cause: safeError(error.cause, depth + 1) }),
  };
}

/** Returns a copy of `value` that is safe to log. Never throws. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'function') return '[function]';
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return safeError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof URL) return redactText(value.href);
  if (depth >= maxDepth) return '[too deep]';
  if (Array.isArray(value)) return redactList(value, depth);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return `[${value.constructor?.name ?? 'object'}]`;
  return redactObject(value as Record<string, unknown>, depth);
}

function redactList(list: readonly unknown[], depth: number): unknown[] {
  const shown = list.slice(0, maxEntries).map((entry) => redact(entry, depth + 1));
  return list.length > maxEntries ? [...shown, `[${list.length - maxEntries} more]`] : shown;
}

/** {@link redact} for a plain object. Secret keys stay, without their values. */
export function redactObject(object: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object).slice(0, maxEntries)) {
    result[key] = isSecret(key, value) ? removed : redact(value, depth + 1);
  }
  return result;
}

function isSecret(key: string, value: unknown): boolean {
  if (value === undefined || value === null || typeof value === 'boolean') return false;
  const plain = key.toLowerCase().replace(/[^a-z0-9]/g, '');
  // `code` is either a stable error code (a word: keep) or a code from a text message (digits: remove).
  if (plain === 'code') return !(typeof value === 'string' && /^[A-Za-z][\w.-]*$/.test(value));
  return secretKeys.has(plain);
}

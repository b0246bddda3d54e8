/** Limits the size of a session's cookies. Upstreams refuse a Cookie header of 8 kB, some of 4 kB. */
import type { CookieJar } from 'tough-cookie';

const maxCookies = 40;
const maxBytes = 4_000;

export function cookieNames(jar: CookieJar): string[] {
  return [...new Set(cookiesOf(jar).map(({ key }) => key ?? ''))];
}

/** Drops the oldest cookies of a jar that is too large. Cookies named in `own` (set by the sign-in) always stay. */
export function boundCookies(jar: CookieJar, own: Iterable<string>): void {
  const kept = new Set(own);
  const cookies = cookiesOf(jar).sort((one, other) => createdAt(one) - createdAt(other));
  let [count, bytes] = [cookies.length, cookies.reduce((sum, cookie) => sum + sizeOf(cookie), 0)];
  for (const cookie of cookies) {
    if (count <= maxCookies && bytes <= maxBytes) return;
    const [domain, path, key] = [cookie.domain, cookie.path, cookie.key].map((part) => String(part ?? ''));
    if (kept.has(key ?? '')) continue;
    // A memory store: the removal is complete when the call returns.
    void jar.store.removeCookie(domain ?? '', path ?? '', key ?? '');
    count -= 1;
    bytes -= sizeOf(cookie);
  }
}

type StoredCookie = NonNullable<ReturnType<CookieJar['serializeSync']>>['cookies'][number];

function cookiesOf(jar: CookieJar): StoredCookie[] {
  return jar.serializeSync()?.cookies ?? [];
}

function createdAt({ creation }: StoredCookie): number {
  return typeof creation === 'string' ? Date.parse(creation) : 0;
}

/** `name=value; ` */
function sizeOf({ key, value }: StoredCookie): number {
  return (key ?? '').length + (value ?? '').length + 3;
}

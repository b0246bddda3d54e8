import { describe, expect, it } from 'vitest';
import { boundCookies, cookieNames } from './bound-cookies.ts';
import { newCookies, parseCookies, serializeCookies } from './http.ts';

const url = 'http://host.test/';

function jarOf(names: readonly string[], bytes: number) {
  const jar = newCookies();
  for (const name of names) jar.setCookieSync(`${name}=${'x'.repeat(bytes)}; path=/`, url);
  return jar;
}

describe('boundCookies', () => {
  it('leaves a small jar as it is', () => {
    const jar = jarOf(['PHPSESSID', 'a', 'b'], 100);
    boundCookies(jar, ['PHPSESSID']);
    expect(cookieNames(jar)).toEqual(['PHPSESSID', 'a', 'b']);
  });

  it.each([
    ['bytes', 200, 200],
    ['number', 2, 200],
  ])("bounds the %s, and never drops what is the session's own", (_what, bytes, count) => {
    const names = Array.from({ length: count }, (_, index) => `trk${index}`);
    const jar = jarOf(['PHPSESSID', ...names], bytes);
    boundCookies(jar, ['PHPSESSID']);
    expect(jar.getCookieStringSync(url).length).toBeLessThanOrEqual(4_000);
    const kept = cookieNames(jar);
    expect(kept.length).toBeLessThanOrEqual(40);
    expect(kept).toContain('PHPSESSID');
    expect(kept.at(-1)).toBe('trk199');
  });

  it('limits a jar that was stored before', () => {
    const jar = parseCookies(
      serializeCookies(
        jarOf(
          Array.from({ length: 99 }, (_, n) => `c${n}`),
          100,
        ),
      ),
    );
    boundCookies(jar, []);
    expect(jar.getCookieStringSync(url).length).toBeLessThanOrEqual(4_000);
  });
});

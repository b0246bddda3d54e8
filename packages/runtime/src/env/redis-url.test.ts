import { describe, expect, test } from 'vitest';
import { parseRedisUrl } from './redis-url.ts';

describe('parseRedisUrl', () => {
  test.each([
    ['redis://localhost', { kind: 'single', tls: false, node: { host: 'localhost', port: 6379 }, db: 0 }],
    ['redis://[::1]:6380/3', { kind: 'single', tls: false, node: { host: '::1', port: 6380 }, db: 3 }],
    [
      'rediss://app:p%40ss:w@redis.example:6380',
      {
        kind: 'single',
        tls: true,
        username: 'app',
        password: 'p@ss:w',
        node: { host: 'redis.example', port: 6380 },
        db: 0,
      },
    ],
    [
      'redis://:only-password@h',
      { kind: 'single', tls: false, password: 'only-password', node: { host: 'h', port: 6379 }, db: 0 },
    ],
    [
      'redis-sentinel://a:26380,b/main/2',
      {
        kind: 'sentinel',
        tls: false,
        nodes: [
          { host: 'a', port: 26380 },
          { host: 'b', port: 26379 },
        ],
        master: 'main',
        db: 2,
      },
    ],
    [
      'rediss-cluster://a:7000,b:7001',
      {
        kind: 'cluster',
        tls: true,
        nodes: [
          { host: 'a', port: 7000 },
          { host: 'b', port: 7001 },
        ],
      },
    ],
  ])('%s', (url, target) => {
    expect(parseRedisUrl(url)).toEqual({ ok: true, target });
  });

  test.each([
    'http://localhost',
    'localhost:6379',
    'redis:///',
    'redis://a,b',
    'redis://a:99999',
    'redis://a:x',
    'redis://u:%zz@a',
    'redis://a/b',
    'redis-sentinel://a:26379',
    'redis-cluster://a/1',
    'unix:///tmp/s',
  ])('refuses %s with advice that does not repeat it', (url) => {
    const parsed = parseRedisUrl(url);
    if (parsed.ok) throw new Error('expected a problem');
    expect(parsed.problem).not.toContain(url);
    expect(parsed.problem.length).toBeGreaterThan(10);
  });
});

import { ConfigError } from '@recloser/runtime/env/env';
import { describe, expect, test } from 'vitest';
import { parseConfig } from './config.ts';

const production = {
  NODE_ENV: 'production',
  SESSION_KEY: 'k',
  CROSSMARK_BASE_URL: 'https://crossmark.example',
  CROSSMARK_USERNAME: 'u',
  CROSSMARK_PASSWORD: 'hunter2',
};

describe('the configuration', () => {
  test('needs no variables in development', () => {
    const config = parseConfig({});
    expect(config.upstreams.map(({ name }) => name)).toEqual(['crossmark', 'walmart-edr']);
    expect(config).toMatchObject({
      WORKER_CONCURRENCY: 10,
      WORKER_HEALTH_PORT: 3003,
      WORKER_STOP_MS: 20_000,
      retention: { maxAgeMs: 14 * 86_400_000, maxCount: 50_000 },
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test('WORKER_UPSTREAMS selects upstreams, and only those need credentials', () => {
    const config = parseConfig({ ...production, WORKER_UPSTREAMS: ' crossmark, ' });
    expect(config.upstreams.map(({ name }) => name)).toEqual(['crossmark']);
  });

  test('in production, names a missing credential and prints no values', () => {
    const { CROSSMARK_USERNAME: _, ...env } = production;
    expect(() => parseConfig({ ...env, WORKER_UPSTREAMS: 'crossmark' })).toThrow(
      expect.objectContaining({
        code: 'config_invalid',
        message: expect.stringContaining('CROSSMARK_USERNAME'),
      }),
    );
    expect(() => parseConfig(env)).toThrow(/WALMART_EDR_PASSWORD/);
    expect(() => parseConfig(env)).toThrow(ConfigError);
    expect(() => parseConfig(env)).not.toThrow(/hunter2/);
  });

  test('refuses an unknown upstream and lists the valid names', () => {
    expect(() => parseConfig({ WORKER_UPSTREAMS: 'crossmrk' })).toThrow(
      /WORKER_UPSTREAMS.*crossmark, walmart-edr/,
    );
    expect(() => parseConfig({ WORKER_UPSTREAMS: ',' })).toThrow(/WORKER_UPSTREAMS/);
  });

  test('refuses numbers out of range', () => {
    expect(() => parseConfig({ WORKER_CONCURRENCY: '0' })).toThrow(/WORKER_CONCURRENCY/);
    expect(() => parseConfig({ WORKER_HEALTH_PORT: '70000' })).toThrow(/WORKER_HEALTH_PORT/);
  });
});

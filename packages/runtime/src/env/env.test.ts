import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConfigError, envFields, intField, parseEnv, portField } from './env.ts';

const shape = {
  ...envFields,
  WEB_PORT: portField(3000),
  WORKER_CONCURRENCY: intField(10, { min: 1, max: 100 }),
};

describe('parseEnv', () => {
  test('applies defaults, and an empty variable counts as unset', () => {
    expect(parseEnv(shape, { WEB_PORT: '', HOST: '  ', REDIS_URL: undefined, PATH: '/bin' })).toEqual({
      NODE_ENV: 'development',
      REDIS_URL: 'redis://127.0.0.1:6379',
      REDIS_PREFIX: 'recloser',
      REDIS_WAIT_FOR: 'memory',
      REDIS_WAIT_REPLICAS: 0,
      HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      OTEL_TRACES_SAMPLER_ARG: 1,
      WEB_PORT: 3000,
      WORKER_CONCURRENCY: 10,
    });
  });

  test('refuses an invalid endpoint for traces and a share above 1', () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318', OTEL_TRACES_SAMPLER_ARG: '1.5' };
    expect(() => parseEnv(shape, env)).toThrow(/OTLP_ENDPOINT: must be .*\n.*SAMPLER_ARG: must be a number/);
    expect(parseEnv(shape, { OTEL_TRACES_SAMPLER_ARG: '0.25' })).toMatchObject({
      OTEL_TRACES_SAMPLER_ARG: 0.25,
    });
  });

  test('freezes the result deeply', () => {
    const config = parseEnv(
      { LIST: z.string().transform((text) => ({ parts: text.split(',') })) },
      { LIST: 'a,b' },
    );
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.LIST.parts)).toBe(true);
  });

  test('names every bad variable at once and never shows a value', () => {
    const env = {
      WEB_PORT: 'secret-1',
      REDIS_URL: 'http://user:secret-2@host',
      NODE_ENV: 'secret-3',
      WORKER_CONCURRENCY: '0',
    };
    const error = failure(() => parseEnv({ ...shape, NEEDED: z.string() }, env));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.code).toBe('config_invalid');
    for (const name of ['WEB_PORT', 'REDIS_URL', 'NODE_ENV', 'WORKER_CONCURRENCY', 'NEEDED: is required']) {
      expect(error.message).toContain(name);
    }
    expect(error.message).not.toContain('secret');
  });

  test('takes a whole zod type, with checks across variables', () => {
    const type = z
      .object({ A: intField(1, { min: 0, max: 9 }) })
      .refine(({ A }) => A > 0, { path: ['A'], message: 'must not be 0' });
    expect(parseEnv(type, { A: '3' })).toEqual({ A: 3 });
    expect(failure(() => parseEnv(type, { A: '0' })).message).toContain('A: must not be 0');
  });

  test.each(['1e3', '3.5', '0x10', '-1', '70000', '  x'])('refuses %j as a port', (port) => {
    expect(failure(() => parseEnv({ P: portField(1) }, { P: port })).message).toContain(
      'whole number from 0 to 65535',
    );
  });

  test('refuses a prefix with braces, which would replace the hash tag', () => {
    expect(failure(() => parseEnv(envFields, { REDIS_PREFIX: 'a{b}' })).message).toContain('REDIS_PREFIX');
  });

  test.each([
    ['true', true],
    ['0', false],
    ['', undefined],
  ])('LOG_PRETTY=%j → %j', (text, value) => {
    expect(parseEnv(envFields, { LOG_PRETTY: text }).LOG_PRETTY).toBe(value);
  });
});

function failure(act: () => unknown): ConfigError {
  try {
    act();
  } catch (error) {
    return error as ConfigError;
  }
  throw new Error('expected a ConfigError');
}

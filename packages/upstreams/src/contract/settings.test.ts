import { ConfigError } from '@recloser/runtime/env/env';
import { describe, expect, it } from 'vitest';
import { definitions, upstreamNames } from '../definitions.ts';
import { upstreamPolicy, upstreamSettings } from './settings.ts';

const { crossmark, 'walmart-edr': walmart } = definitions;

/** The lines of the error that name a variable. */
function problemsOf(act: () => unknown): readonly string[] {
  try {
    act();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n').flatMap((line) => /^ {2}(.*)/.exec(line)?.[1] ?? []);
  }
  return [];
}

describe('upstreamSettings', () => {
  it('defaults to the simulator', () => {
    expect(upstreamSettings(crossmark, {})).toMatchObject({
      baseUrl: 'http://127.0.0.1:3002/crossmark',
      loginBaseUrl: 'http://127.0.0.1:3002/crossmark',
      username: 'simulator',
      password: 'simulator',
      timezone: 'America/Indianapolis',
      mfaCredentialId: '',
      breaker: { failMax: 5, resetMs: 60_000, failPercent: 50 },
    });
    expect(upstreamSettings(walmart, {})).toMatchObject({
      baseUrl: 'http://127.0.0.1:3002/walmart-edr',
      loginBaseUrl: 'http://127.0.0.1:3002/walmart-edr-login',
      mfaCredentialId: 'simulator',
      breaker: { failMax: 3, resetMs: 120_000 },
    });
  });

  it('reads the variables and treats an empty one as unset', () => {
    const settings = upstreamSettings(crossmark, {
      CROSSMARK_BASE_URL: 'https://example.test/prefix//',
      CROSSMARK_USERNAME: 'someone',
      CROSSMARK_PASSWORD: '',
      CROSSMARK_TIMEZONE: 'America/Denver',
    });
    expect(settings).toMatchObject({
      baseUrl: 'https://example.test/prefix',
      username: 'someone',
      password: 'simulator',
      timezone: 'America/Denver',
    });
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('names every missing variable in one error in production', () => {
    const env = { NODE_ENV: 'production' };
    expect(problemsOf(() => upstreamSettings(crossmark, env)).map((line) => line.split(':')[0])).toEqual([
      'CROSSMARK_BASE_URL',
      'CROSSMARK_USERNAME',
      'CROSSMARK_PASSWORD',
    ]);
    expect(problemsOf(() => upstreamSettings(walmart, env)).map((line) => line.split(':')[0])).toEqual([
      'WALMART_EDR_BASE_URL',
      'WALMART_EDR_LOGIN_BASE_URL',
      'WALMART_EDR_USERNAME',
      'WALMART_EDR_PASSWORD',
      'WALMART_EDR_MFA_CREDENTIAL_ID',
    ]);
  });

  it.each([
    ['BASE_URL', 'ftp://secret.test'],
    ['BASE_URL', 'https://user:secret@host.test'],
    ['BASE_URL', 'secret'],
    ['TIMEZONE', 'Mars/secret'],
    ['TIMEZONE', '-05:00'],
    ['TIMEOUT_MS', '10s-secret'],
    ['MAX_ATTEMPTS', '0'],
    ['BREAKER_FAIL_MAX', '1.5'],
    ['MAX_BACKLOG', '-1'],
  ])('refuses %s=%s without showing the value', (suffix, value) => {
    const problems = problemsOf(() => upstreamSettings(crossmark, { [`CROSSMARK_${suffix}`]: value }));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^CROSSMARK_${suffix}: `));
    expect(problems[0]).not.toContain('secret');
  });
});

describe('upstreamPolicy', () => {
  it('needs no credentials, even in production', () => {
    for (const name of upstreamNames) {
      const policy = upstreamPolicy(definitions[name], { NODE_ENV: 'production' });
      expect(Object.keys(policy).sort()).toEqual(['breaker', 'maxBacklog', 'operations']);
    }
  });

  it('applies the variables to every operation and does not change the definition', () => {
    const { operations, breaker, maxBacklog } = upstreamPolicy(crossmark, {
      CROSSMARK_TIMEOUT_MS: '250',
      CROSSMARK_MAX_ATTEMPTS: '3',
      CROSSMARK_BACKOFF_BASE_MS: '50',
      CROSSMARK_BREAKER_FAIL_MAX: '2',
      CROSSMARK_BREAKER_RESET_MS: '400',
      CROSSMARK_BREAKER_FAIL_PERCENT: '100',
      CROSSMARK_MAX_BACKLOG: '77',
    });
    expect(breaker).toEqual({ failMax: 2, resetMs: 400, failPercent: 100 });
    expect(maxBacklog).toBe(77);
    for (const operation of Object.values(operations)) {
      expect(operation).toMatchObject({ timeoutMs: 250, retry: { maxAttempts: 3, baseMs: 50, factor: 2 } });
    }
    expect(crossmark.operations['schedule-event']).toMatchObject({
      timeoutMs: 10_000,
      retry: { maxAttempts: 8 },
    });
  });
});

import { expect, test } from 'vitest';
import { healthBody, healthHttpStatus } from './health.ts';

test('the worst check decides, and checks of one name are kept together', () => {
  expect(
    healthBody([
      { name: 'redis:connection', status: 'pass' },
      { name: 'crossmark:breaker', status: 'warn', output: 'open', observedValue: 'open' },
      { name: 'crossmark:breaker', status: 'pass' },
    ]),
  ).toEqual({
    status: 'warn',
    checks: {
      'redis:connection': [{ status: 'pass' }],
      'crossmark:breaker': [{ status: 'warn', output: 'open', observedValue: 'open' }, { status: 'pass' }],
    },
  });
  expect(
    healthBody([
      { name: 'a', status: 'fail' },
      { name: 'b', status: 'warn' },
    ]).status,
  ).toBe('fail');
  expect(healthBody([])).toEqual({ status: 'pass', checks: {} });
});

test('only fail is 503', () => {
  expect([healthHttpStatus('pass'), healthHttpStatus('warn'), healthHttpStatus('fail')]).toEqual([
    200, 200, 503,
  ]);
});

import { definitions } from '@recloser/upstreams/definitions';
import { describe, expect, test } from 'vitest';
import { redactData, redactReturnValue } from './redact.ts';

const { crossmark } = definitions;

describe('redaction', () => {
  test('shows allowed fields and hides the rest', () => {
    const shown = redactData(crossmark, {
      v: 1,
      operation: 'schedule-event',
      input: {
        repId: '12345',
        start: '2026-01-02T09:00:00-05:00',
        note: 'call Jane Roe',
        email: 'x@example.com',
        who: { sealed: 's1.x' },
      },
      options: { ifOpen: 'defer', priority: 5, metadata: { a: 'Jane' }, callback: { url: 'https://x/?t=1' } },
      history: [
        {
          at: '2026-01-02T09:00:00Z',
          outcome: 'retry',
          code: 'http_503',
          message: 'The upstream answered 503.',
          worker: 'w 1',
        },
      ],
      settled: { status: 'failed', code: 'http_503', message: 'Gave up.' },
      invented: 'later',
    });
    expect(shown).toEqual({
      v: 1,
      operation: 'schedule-event',
      input: {
        repId: '12345',
        start: '2026-01-02T09:00:00-05:00',
        note: '[hidden]',
        email: '[hidden]',
        who: '[sealed]',
      },
      options: { ifOpen: 'defer', priority: 5, metadata: '[hidden]', callback: '[hidden]' },
      history: [
        {
          at: '2026-01-02T09:00:00Z',
          outcome: 'retry',
          code: 'http_503',
          message: 'The upstream answered 503.',
          worker: 'w 1',
        },
      ],
      settled: { status: 'failed', code: 'http_503', message: 'Gave up.' },
      invented: '[hidden]',
    });
  });

  test('hides the input of an unknown operation and data that is not an envelope', () => {
    expect(redactData(crossmark, { operation: 'other', input: { a: '1' } })).toEqual({
      operation: 'other',
      input: { a: '[hidden]' },
    });
    expect(redactData(crossmark, 'Jane Roe')).toBe('[hidden]');
    expect(redactData(crossmark, { operation: 'schedule-event', input: ['Jane'] })).toMatchObject({
      input: '[hidden]',
    });
  });

  test('hides sealed text at any depth', () => {
    const sealed = `s1.${'A'.repeat(60)}`;
    const shown = redactData(crossmark, {
      operation: 'schedule-event',
      input: { repId: sealed },
      history: [{ message: sealed }],
    });
    expect(JSON.stringify(shown)).not.toContain(sealed);
  });

  test('hides sealed results and personal fields, and shortens long lists', () => {
    const result = (value: unknown, operation = 'list-planning') =>
      (redactReturnValue(crossmark, operation, { result: value, attempt: {} }) as { result: unknown }).result;
    expect(result({ sealed: 's1.x' })).toBe('[sealed]');
    expect(result({ reps: ['Jane'] }, 'list-available-reps')).toBe('[hidden]');
    expect(result({ items: [{ mPlanId: '1', locationName: 'Main Street 5' }] })).toEqual({
      items: [{ mPlanId: '1', locationName: '[hidden]' }],
    });
    expect(result({ items: Array.from({ length: 25 }, (_, n) => n) })).toEqual({
      items: [...Array.from({ length: 20 }, (_, n) => n), '[5 more]'],
    });
    expect(redactReturnValue(crossmark, 'list-planning', null)).toBeNull();
    expect(redactReturnValue(crossmark, 'list-planning', 'Jane')).toBe('[hidden]');
  });
});

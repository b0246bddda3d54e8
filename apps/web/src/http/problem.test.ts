import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { problem, problemOf, problemType } from './problem.ts';
import { type ProblemCode, problems } from './problem-codes.ts';

describe('docs/errors.md', () => {
  it('lists every problem with its status, and no other', () => {
    const text = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
    const api = text.slice(text.indexOf('## The API'), text.indexOf('## Starting'));
    const listed = [...api.matchAll(/^\| `([a-z_]+)` +\| (\d{3}) +\|/gm)].map(([, code, status]) => [
      code,
      Number(status),
    ]);
    const defined = Object.entries(problems).map(([code, { status }]) => [code, status]);
    expect(listed).toEqual(defined);
  });
});

describe('problem', () => {
  it('has a stable type for each code', () => {
    const types = Object.keys(problems).map((code) => problemType(code as ProblemCode));
    expect(new Set(types).size).toBe(types.length);
    expect(problemType('call_not_found')).toBe('https://recloser.dev/problems/call-not-found');
  });

  it('has a Retry-After of at least one second', () => {
    const headers = problem('breaker_open', { detail: '', retryAfterSeconds: -3 }).headers;
    expect(headers?.['Retry-After']).toBe('1');
  });
});

describe('problemOf', () => {
  it.each([
    'Command timed out',
    'Connection is closed.',
    'OOM command not allowed',
    'connect ECONNREFUSED 127.0.0.1:1',
  ])('maps %j to storage_unavailable', (message) => {
    expect(problemOf(new Error(message))).toMatchObject({
      response: { problem: 'storage_unavailable' },
      fault: false,
    });
  });

  it('does not reveal the message of an unexpected error', () => {
    const { response, fault } = problemOf(new TypeError('secret detail'));
    expect(fault).toBe(true);
    expect(JSON.stringify(response)).not.toContain('secret');
    expect(response.status).toBe(500);
  });
});

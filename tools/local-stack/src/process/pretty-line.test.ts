import picocolors from 'picocolors';
import { expect, test } from 'vitest';
import { prettyLine } from './pretty-line.ts';

const plain = picocolors.createColors(false);
const line = (entry: object) => prettyLine('web', JSON.stringify(entry), plain);

test('shows time, app, message and the fields that matter', () => {
  const entry = {
    level: 'info',
    time: '2026-11-24T11:00:00.000Z',
    pid: 1,
    hostname: 'h',
    name: 'web',
    msg: 'kept',
    upstream: 'crossmark',
    n: 2,
    list: ['a'],
    no: null,
  };
  expect(line(entry)).toMatch(/^\d\d:\d\d:\d\d web {7}kept {2}upstream=crossmark n=2 list=\["a"\]$/);
});

test('appends the error unless the message already contains it', () => {
  const err = { type: 'Error', message: 'refused', code: 'ECONNREFUSED', stack: 'long' };
  expect(line({ level: 'error', msg: 'failed', err })).toMatch(/failed {2}refused \(ECONNREFUSED\)$/);
  expect(line({ level: 'error', msg: 'refused', err })).toMatch(/refused$/);
});

test.each(['plain text', '{broken', '{"no":"log line"}', ''])('prints %j unchanged', (text) => {
  expect(prettyLine('web', text, plain)).toBe(`         web       ${text}`);
});

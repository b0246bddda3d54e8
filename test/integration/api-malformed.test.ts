/**
 * Requests with invalid fields, generated from the published schema. The API must refuse each with a problem document,
 * never with a 5xx, and must store nothing.
 */
import { startWeb, visit } from '@recloser/web/test-kit/web-under-test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openApi } from '../support/openapi-check.ts';

const redisUrl = inject('redisUrl');
type Web = Awaited<ReturnType<typeof startWeb>>;
type Json = Record<string, unknown>;
type Case = {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
};

const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
ajv.addSchema(openApi, 'openapi');
const schemas = (openApi.components as { schemas: Record<string, Json> }).schemas;

const missing = Symbol('missing');
const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const values: readonly unknown[] = [
  missing,
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  '',
  ' ',
  'x',
  '-1',
  '0',
  '١٢٣٤٥٦',
  '1'.repeat(5_000),
  '1\u0000',
  '\ud800',
  "'; DROP TABLE calls; --",
  '${7',
  '2026-13-45',
  '2026-02-30T25:61:00Z',
  '2026-01-05T09:00:00',
  [],
  ['1'],
  {},
  { $gt: '' },
  { sealed: 's1.forged' },
  { toString: 'x', constructor: {} },
  deep(2_000),
];

/** Returns copies of `good`, each with one field that violates the published schema. */
function spoil(good: Json, schema: Json, name: string): Json[] {
  const valid =
    ajv.getSchema(`openapi#/components/schemas/${name}`) ??
    ajv.compile({ $ref: `openapi#/components/schemas/${name}` });
  expect(valid(good), JSON.stringify(valid.errors)).toBe(true);
  const fields = [...Object.keys(schema.properties as Json), 'unknown', '__proto__x', ''];
  return fields
    .flatMap((field) => values.map((value) => ({ field, value })))
    .map(({ field, value }) => {
      const { [field]: _was, ...rest } = good;
      return value === missing ? rest : { ...rest, [field]: value };
    })
    .filter((spoiled) => !valid(spoiled));
}

const goodInputs: Record<string, Json> = {
  'crossmark/schedule-event': visit,
  'crossmark/unschedule-event': { scheduleEventId: '1', mPlanId: '2', locationId: '3' },
  'crossmark/reissue-event': {
    mPlanId: '1',
    locationId: '2',
    repId: '3',
    expirationDate: '2026-02-01',
    scheduleEventId: '4',
    comments: 'x',
    includeResponses: true,
  },
  'crossmark/list-planning': { startDate: '2026-01-01', endDate: '2026-01-02', mPlanId: '1' },
  'crossmark/list-available-reps': { start: '2026-01-05T09:00:00Z', end: '2026-01-05T10:00:00Z' },
  'crossmark/list-qualified-reps': { mPlanId: '1', locationId: '2' },
  'walmart-edr/get-report': { eventId: '123456' },
  'walmart-edr/browse-events': {
    startDate: '2026-01-01',
    endDate: '2026-01-02',
    storeNumber: '1',
    eventTypes: [1],
  },
};

function inputCases(target: string, good: Json): Case[] {
  const words = target.split(/[-/]/).map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  const name = `${words.join('')}Input`;
  const schema = schemas[name];
  if (!schema) throw new Error(`no schema ${name}`);
  const [upstream, operation] = target.split('/');
  return spoil(good, schema, name).flatMap((input, index) => [
    { method: 'POST', path: `/v1/calls/${target}`, body: { input } },
    ...(index % 3 === 0
      ? [
          {
            method: 'POST',
            path: '/v1/calls:batch',
            body: {
              items: [
                { upstream, operation, input: good },
                { upstream, operation, input },
              ],
            },
          },
        ]
      : []),
  ]);
}

function optionCases(): Case[] {
  const later = new Date(Date.now() + 3_600_000).toISOString();
  const good = { ifOpen: 'defer', priority: 5, runAt: later, maxAttempts: 3, metadata: { a: 1 } };
  const path = '/v1/calls/crossmark/schedule-event';
  return spoil(good, schemas.CallOptions ?? {}, 'CallOptions')
    .map((options): Case => ({ method: 'POST', path, body: { input: visit, options } }))
    .concat(
      [
        { runAt: '2199-01-01T00:00:00Z' },
        { expiresAt: '2020-01-01T00:00:00Z' },
        { runAt: later, expiresAt: new Date(Date.now() + 1_800_000).toISOString() },
        { metadata: Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`k${n}`, n])) },
        { metadata: { a: 'x'.repeat(5_000) } },
        { metadata: { 'a b': 1 } },
        { metadata: { a: [] } },
        { callback: { url: 'http://169.254.169.254/' } },
        { callback: { url: 'file:///etc/passwd' } },
      ].map((options) => ({ method: 'POST', path, body: { input: visit, options } })),
    );
}

function bodyCases(): Case[] {
  const raw = [...values.slice(1), undefined].map((value) =>
    value === undefined ? '' : JSON.stringify(value),
  );
  const bodies = [...raw, '{', '{"input":}', 'nul', '"\\ud800"', '\u0000', '{}{}', '{"input":{},"input":{}}'];
  return ['/v1/calls/crossmark/schedule-event', '/v1/calls:batch'].flatMap((path) => [
    ...bodies.map((body): Case => ({ method: 'POST', path, body })),
    ...['', 'text/plain', 'application/xml', 'application/json; charset=utf-16'].map(
      (type): Case => ({ method: 'POST', path, body: '{}', headers: { 'content-type': type } }),
    ),
    { method: 'POST', path, body: '{}', headers: { 'content-encoding': 'gzip' } },
    { method: 'POST', path, body: '{}', headers: { 'content-encoding': 'nonsense' } },
  ]);
}

function batchCases(): Case[] {
  const item = {
    upstream: 'crossmark',
    operation: 'schedule-event',
    input: visit,
    options: {},
    idempotencyKey: 'k',
  };
  const fields = [...Object.keys(item), 'unknown'].flatMap((field) =>
    values
      .filter((value) => !(value === missing && ['options', 'idempotencyKey', 'unknown'].includes(field)))
      // A key may be any visible text. Options may be absent.
      .filter(
        (value) => !(field === 'idempotencyKey' && typeof value === 'string' && /^[!-~]{1,255}$/.test(value)),
      )
      .filter((value) => !(field === 'options' && JSON.stringify(value) === '{}'))
      .map((value) => {
        const { [field as keyof typeof item]: _was, ...rest } = item;
        return value === missing ? rest : { ...rest, [field]: value };
      }),
  );
  const items = [
    ...fields.map((bad) => [item, bad]),
    [],
    Array.from({ length: 1_001 }, () => item),
    [item, { ...item, options: { priority: 2 } }],
  ];
  return items.map((list) => ({ method: 'POST', path: '/v1/calls:batch', body: { items: list } }));
}

function addressCases(): Case[] {
  const path = '/v1/calls/crossmark/schedule-event';
  const keys = ['', 'a b', 'ü', 'x'.repeat(256), '\t'];
  const ids = [
    'x',
    'crossmark-',
    'crossmark-1',
    '..%2f..',
    '%00',
    '%E0%A4%A',
    'crossmark-01a20d8c-50bf-7635-848a-64041a1bd38f',
  ];
  const queries = [
    'limit=0',
    'limit=201',
    'limit=x',
    'limit=1&limit=2',
    'status=lost',
    'status=',
    'upstream=nobody',
    'cursor=x',
    'cursor=',
    'more=1',
    'cursor=%F0',
  ];
  return [
    ...keys.map(
      (key): Case => ({ method: 'POST', path, body: { input: visit }, headers: { 'idempotency-key': key } }),
    ),
    ...ids.flatMap((id): Case[] => [
      { method: 'GET', path: `/v1/calls/${id}` },
      { method: 'DELETE', path: `/v1/calls/${id}` },
      { method: 'POST', path: `/v1/calls/${id}/retry` },
      { method: 'GET', path: `/v1/calls/${id}/events` },
      { method: 'POST', path: `/v1/calls/${id}/schedule-event`, body: { input: visit } },
      { method: 'POST', path: `/v1/calls/crossmark/${id}`, body: { input: visit } },
      { method: 'GET', path: `/v1/upstreams/${id}` },
    ]),
    ...queries.map((query): Case => ({ method: 'GET', path: `/v1/calls?${query}` })),
    ...['-1', '1.5', 'x', '', '1&wait=2'].map(
      (wait): Case => ({ method: 'GET', path: `/v1/calls/${ids[6]}?wait=${wait}` }),
    ),
    ...['PUT', 'PATCH', 'DELETE'].map((method): Case => ({ method, path })),
  ];
}

/** The kind of violation, the minimum share of answers that must name a field, and the requests. */
const kinds: [string, number, readonly Case[]][] = [
  ...Object.entries(goodInputs).map(([target, good]): [string, number, readonly Case[]] => [
    `the input of ${target}`,
    0.9,
    inputCases(target, good),
  ]),
  ['options', 0.9, optionCases()],
  ['the body', 0.1, bodyCases()],
  ['the items of a batch', 0.9, batchCases()],
  ['addresses, headers and queries', 0, addressCases()],
];
const count = kinds.flatMap(([, , cases]) => cases).length;

async function send(web: Web, { method, path, body, headers = {} }: Case) {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  return await fetch(web.url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(text !== undefined && { body: text }),
  });
}

/** Sends a request. Fails unless the answer is a 4xx with a problem document, which it returns. */
async function refused(web: Web, one: Case): Promise<number> {
  const answer = await send(web, one);
  const about = `${answer.status} for ${JSON.stringify(one).slice(0, 300)}`;
  expect(answer.status, about).toBeGreaterThanOrEqual(400);
  expect(answer.status, about).toBeLessThan(500);
  expect(answer.headers.get('content-type'), about).toBe('application/problem+json');
  const problem = (await answer.json()) as Json;
  expect(problem, about).toMatchObject({ status: answer.status, code: expect.any(String) });
  if (problem.code !== 'validation_failed') return answer.status;
  const error = { pointer: expect.stringMatching(/^(\/.*)?$/s), message: expect.any(String) };
  expect(problem.errors, about).toEqual(expect.arrayContaining([error]));
  return answer.status;
}

describe(`${count} malformed requests`, () => {
  let web: Web;
  beforeAll(async () => {
    web = await startWeb({ redisUrl });
  });
  afterAll(() => web[Symbol.asyncDispose]());

  test('are more than 2,000', () => expect(count).toBeGreaterThan(2_000));

  test.each(kinds)(
    'with invalid %s get a problem document each, and nothing is stored',
    async (_kind, fields, cases) => {
      const keysBefore = await web.redis.keys(`${web.prefix}*`);
      const statuses: number[] = [];
      for (let first = 0; first < cases.length; first += 20) {
        statuses.push(...(await Promise.all(cases.slice(first, first + 20).map((one) => refused(web, one)))));
      }
      expect(statuses.filter((status) => status === 422).length).toBeGreaterThanOrEqual(
        fields * cases.length,
      );
      expect((await web.redis.keys(`${web.prefix}*`)).toSorted()).toEqual(keysBefore.toSorted());
      for (const { queue } of web.upstreams.values()) expect(await queue.getJobCountByTypes()).toBe(0);
      expect(web.lines.join('')).not.toContain('DROP TABLE');
    },
  );

  test('in a batch: the error names the item and the field', async () => {
    const good = { upstream: 'crossmark', operation: 'schedule-event', input: visit };
    const items = [
      good,
      good,
      good,
      { ...good, input: { ...visit, repId: 7 } },
      { ...good, operation: 'fly' },
    ];
    const answer = await send(web, { method: 'POST', path: '/v1/calls:batch', body: { items } });
    const { errors } = (await answer.json()) as { errors: { pointer: string }[] };
    expect(errors.map(({ pointer }) => pointer)).toEqual(['/items/3/input/repId', '/items/4/operation']);
  });
});

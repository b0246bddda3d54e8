/** The control API and the ledger over HTTP. */
import { expect, test } from 'vitest';
import { crossmarkLogin, crossmarkSession, startSimulator, until } from '../test-kit/kit.ts';
import { Ledger } from './ledger.ts';

test('an invalid request gets one error per bad field and changes nothing', async () => {
  await using simulator = await startSimulator();
  const put = async (upstream: string, path: string, body: unknown) => {
    const res = await simulator.send('PUT', simulator.control(upstream, path), body);
    const problem = (await res.json()) as { errors?: { pointer: string }[] };
    return {
      status: res.status,
      pointers: problem.errors?.map((error) => error.pointer),
      type: res.headers.get('content-type'),
    };
  };
  expect(
    await put('crossmark', '/faults', {
      faults: [
        { kind: 'status', status: 503 },
        { kind: 'status', status: 42 },
      ],
    }),
  ).toEqual({
    status: 422,
    pointers: ['/faults/1/status'],
    type: 'application/problem+json; charset=utf-8',
  });
  const bad: [unknown, string][] = [
    [{ faults: [{ kind: 'nonsense' }] }, '/faults/0/kind'],
    [{ faults: [{ kind: 'reset', operation: 'get-report' }] }, '/faults/0/operation'],
    [{ faults: [{ kind: 'reset', more: 1 }] }, '/faults/0/more'],
    [{ faults: [{ kind: 'late-commit', ms: 1, afterApply: true }] }, '/faults/0/afterApply'],
    [{ faults: [{ kind: 'reset', probability: 2 }] }, '/faults/0/probability'],
    [{}, '/faults'],
  ];
  for (const [body, pointer] of bad) {
    expect(await put('crossmark', '/faults', body)).toMatchObject({ status: 422, pointers: [pointer] });
  }
  expect(await put('walmart-edr', '/faults', { faults: [{ kind: 'not-ok' }] })).toMatchObject({
    status: 422,
  });
  const release = await simulator.send('POST', simulator.control('crossmark', '/release'), { count: 0 });
  expect([release.status, await release.text()]).toEqual([422, expect.stringContaining('/count')]);
  expect(await put('walmart-edr', '/settings', { duplicates: 'insert' })).toMatchObject({
    pointers: ['/duplicates'],
  });
  expect(await put('crossmark', '/settings', { latencyMs: { nonsense: 1 } })).toMatchObject({ status: 422 });
  expect(await put('crossmark', '/settings', { timezone: 'Mars/Base' })).toMatchObject({
    pointers: ['/timezone'],
  });
  expect(await (await simulator.send('GET', simulator.control('crossmark'))).json()).toMatchObject({
    faults: [],
  });
});

test('404 for unknown upstreams and paths, 400 for unreadable JSON', async () => {
  await using simulator = await startSimulator();
  expect((await simulator.send('GET', simulator.control('nobody'))).status).toBe(404);
  expect((await simulator.send('GET', simulator.control('crossmark', '/nothing'))).status).toBe(404);
  const res = await fetch(simulator.control('crossmark', '/faults'), { method: 'PUT', body: '{' });
  expect(res.status).toBe(400);
  expect((await fetch(`${simulator.url}/crossmark/nothing`)).status).toBe(404);
  expect((await simulator.ledger('crossmark')).requests).toMatchObject([
    { operation: 'unknown', outcome: 'answered 404' },
  ]);
});

test('settings never contain the password; a reset keeps them by default', async () => {
  await using simulator = await startSimulator();
  await simulator.settings('crossmark', { password: 'top-secret', duplicates: 'update-in-place' });
  await simulator.send('POST', simulator.control('crossmark', '/reset'));
  const state = await (await simulator.send('GET', simulator.control('crossmark'))).text();
  expect(state).not.toContain('top-secret');
  expect(state).toContain('update-in-place');
  expect(await (await crossmarkLogin(simulator.url, 'top-secret')).text()).toContain('redirectUrl');
  await simulator.send('POST', simulator.control('crossmark', '/reset'), { settings: true });
  expect(await (await crossmarkLogin(simulator.url)).text()).toContain('redirectUrl');
});

test('DELETE clears the plan', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'status', status: 500 }]);
  expect((await session.schedule()).status).toBe(500);
  await simulator.send('DELETE', simulator.control('crossmark', '/faults'));
  expect((await session.schedule()).status).toBe(200);
});

test('the ledger has each of many parallel requests once, exact counts and no secrets', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'gate', operation: 'schedule-event' }]);
  const ids = Array.from({ length: 40 }, (_, index) => String(20_000_000 + index));
  const calls = ids.map((mPlanID) => session.schedule({ mPlanID }));
  await until(async () => expect((await simulator.ledger('crossmark')).held).toBe(40));
  await simulator.send('POST', simulator.control('crossmark', '/release'));
  await Promise.all(calls);
  const ledger = await simulator.ledger('crossmark');
  const writes = ledger.requests.filter((entry) => entry.operation === 'schedule-event');
  expect(writes).toHaveLength(40);
  expect(writes.every((entry) => entry.applied && entry.outcome === 'answered 200')).toBe(true);
  expect(writes.map((entry) => entry.inFlight).toSorted((a, b) => a - b)).toEqual(
    ids.map((_, index) => index + 1),
  );
  expect(ledger.maxInFlight).toBe(40);
  expect(ledger.inFlight).toBe(0);
  expect(ledger.visitsByItem).toEqual(Object.fromEntries(ids.map((id) => [id, 1])));
  expect(writes.map((entry) => entry.at)).toEqual(writes.map((entry) => entry.at).toSorted((a, b) => a - b));
  const text = JSON.stringify(ledger);
  for (const secret of [session.cookie.split('=')[1] ?? 'none', 'PHPSESSID', 'Cedar', 'Password']) {
    expect(text).not.toContain(secret);
  }
});

test('sequential requests are never counted as parallel', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  for (let index = 0; index < 50; index += 1) await session.schedule();
  expect((await simulator.ledger('crossmark')).maxInFlight).toBe(1);
});

test('the ledger keeps the newest requests and counts the dropped ones', () => {
  const ledger = new Ledger(10);
  for (let at = 0; at < 25; at += 1)
    ledger.arrive({ at, operation: 'login', method: 'POST', path: '/' }).leave();
  expect(ledger.requests().map((entry) => entry.at)).toEqual([15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
  expect(ledger.dropped).toBe(15);
  expect(ledger.counts()).toMatchObject({ requests: 25, byOperation: { login: 10 } });
});

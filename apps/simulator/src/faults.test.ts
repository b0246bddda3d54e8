/** Every fault over HTTP, and the ledger afterwards. */
import { expect, test } from 'vitest';
import { crossmarkLogin, crossmarkSession, startSimulator, until } from '../test-kit/kit.ts';
import { type Fault, FaultPlan } from './faults.ts';

const aimed = { operation: 'schedule-event' } as const;

async function scheduleUnder(fault: Fault) {
  const simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [fault]);
  const answer = await session.schedule().then(
    async (res) => ({
      status: res.status,
      headers: res.headers,
      text: await res.text().catch(() => 'broken'),
    }),
    () => 'no answer' as const,
  );
  const ledger = await simulator.ledger('crossmark');
  await simulator[Symbol.asyncDispose]();
  return { answer, ledger, entry: ledger.requests.at(-1) };
}

test.each([false, true])(
  'each ending, afterApply %s: the write is done exactly when asked',
  async (afterApply) => {
    const endings: [Fault, string][] = [
      [{ kind: 'status', status: 503, retryAfterSeconds: 7, ...aimed }, 'answered 503'],
      [{ kind: 'reset', ...aimed }, 'reset'],
      [{ kind: 'hang', ms: 1, ...aimed }, 'hung'],
      [{ kind: 'html', ...aimed }, 'answered 200'],
      [{ kind: 'html', status: 403, ...aimed }, 'answered 403'],
      [{ kind: 'empty', ...aimed }, 'answered 200'],
      [{ kind: 'truncate', ...aimed }, 'truncated'],
      [{ kind: 'truncate', abort: true, ...aimed }, 'truncated'],
      [{ kind: 'bad-json', ...aimed }, 'answered 200'],
      [{ kind: 'not-ok', ...aimed }, 'answered 200'],
      [{ kind: 'expired', style: '403', ...aimed }, 'answered 403'],
    ];
    for (const [fault, outcome] of endings) {
      const { entry, ledger } = await scheduleUnder({ ...fault, afterApply } as Fault);
      expect({ kind: fault.kind, ...entry }).toMatchObject({
        kind: fault.kind,
        outcome,
        applied: afterApply,
      });
      expect(ledger.visits).toHaveLength(afterApply ? 1 : 0);
    }
  },
);

test('each ending, as the client sees it', async () => {
  const see = async (fault: Fault) => (await scheduleUnder(fault)).answer;
  const status = await see({ kind: 'status', status: 429, retryAfterSeconds: 7 });
  expect(status).toMatchObject({ status: 429 });
  expect(status !== 'no answer' && status.headers.get('retry-after')).toBe('7');
  expect(await see({ kind: 'reset' })).toBe('no answer');
  expect(await see({ kind: 'hang', ms: 1 })).toBe('no answer');
  expect(await see({ kind: 'empty' })).toMatchObject({ status: 200, text: '' });
  expect(await see({ kind: 'html' })).toMatchObject({ status: 200, text: expect.stringContaining('<html>') });
  expect(await see({ kind: 'truncate', abort: true, afterApply: true })).toMatchObject({ text: 'broken' });
  expect(await see({ kind: 'not-ok' })).toMatchObject({ text: expect.stringContaining('"ok":0') });
  for (const fault of [
    { kind: 'truncate' },
    { kind: 'truncate', afterApply: true },
    { kind: 'bad-json' },
  ] as Fault[]) {
    const answer = await see(fault);
    expect(() => JSON.parse(answer === 'no answer' ? '{}' : answer.text)).toThrow();
  }
});

test('latency delays, before or after the work, and adds up with another fault', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [
    { kind: 'status', status: 500, ...aimed, afterApply: true },
    { kind: 'latency', ms: 60, ...aimed },
    { kind: 'latency', ms: 60, ...aimed, afterApply: true },
  ]);
  const started = performance.now();
  expect((await session.schedule()).status).toBe(500);
  expect(performance.now() - started).toBeGreaterThan(115);
  expect((await simulator.ledger('crossmark')).visits).toHaveLength(1);
});

test('hang without ms keeps the connection until the client disconnects', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'hang', ...aimed, afterApply: true }]);
  const client = new AbortController();
  const call = session.schedule({}, { signal: client.signal });
  const rejected = expect(call).rejects.toThrow();
  await until(async () => {
    expect(await simulator.ledger('crossmark')).toMatchObject({ inFlight: 1, visitsMade: 1 });
  });
  client.abort();
  await rejected;
  await until(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(0));
  expect((await simulator.ledger('crossmark')).requests.at(-1)).toMatchObject({
    outcome: 'hung',
    applied: true,
  });
});

test('late-commit does the work only after the client has given up', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'late-commit', ms: 50, times: 1 }]);
  const client = new AbortController();
  const rejected = expect(session.schedule({}, { signal: client.signal })).rejects.toThrow();
  await until(async () => {
    expect((await simulator.ledger('crossmark')).requests.at(-1)).toMatchObject({ outcome: 'late-commit' });
  });
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({
    condition: 'Unstaffed',
    storeID: '157384',
  });
  client.abort();
  await rejected;
  await until(async () => expect((await simulator.ledger('crossmark')).visits).toHaveLength(1));
  const late = (await simulator.ledger('crossmark')).requests.find(
    (entry) => entry.outcome === 'late-commit',
  );
  expect(late).toMatchObject({ operation: 'schedule-event', applied: true });
});

test('a reset of the simulator ends requests that hang and drops late commits', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [
    { kind: 'hang', ...aimed, times: 1 },
    { kind: 'late-commit', ms: 0 },
  ]);
  const calls = [session.schedule(), session.schedule()];
  const settled = Promise.allSettled(calls);
  await until(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(2));
  await simulator.send('POST', simulator.control('crossmark', '/reset'));
  expect((await settled).map((call) => call.status)).toEqual(['rejected', 'rejected']);
  const ledger = await simulator.ledger('crossmark');
  expect(ledger).toMatchObject({ requests: [], visits: [], logins: 0, maxInFlight: 0, inFlight: 0 });
});

test('times limits a fault, operation selects requests, and the first ending wins', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [
    { kind: 'status', status: 502, times: 2, ...aimed },
    { kind: 'status', status: 500, operation: 'login' },
  ]);
  const statuses = [];
  for (let index = 0; index < 3; index += 1) statuses.push((await session.schedule()).status);
  expect(statuses).toEqual([502, 502, 200]);
  expect((await crossmarkLogin(simulator.url)).status).toBe(500);
  const state = (await (await simulator.send('GET', simulator.control('crossmark'))).json()) as object;
  expect(state).toMatchObject({ faults: [{ times: 0 }, { status: 500 }], fired: [2, 1] });
});

test('the same seed fails the same requests', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const run = async (seed: number) => {
    await simulator.faults('crossmark', [{ kind: 'status', status: 500, probability: 0.5, ...aimed }], seed);
    let seen = '';
    for (let index = 0; index < 30; index += 1) seen += (await session.schedule()).ok ? '.' : 'x';
    return seen;
  };
  const first = await run(7);
  expect(first).toContain('x');
  expect(first).toContain('.');
  expect(await run(7)).toBe(first);
  expect(await run(8)).not.toBe(first);
});

test('capacity: requests above the limit are refused before any work', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const capacity: Fault = { kind: 'capacity', limit: 3, status: 503 };
  await simulator.faults('crossmark', [capacity, { kind: 'hang' }]);
  const clients = Array.from({ length: 3 }, () => new AbortController());
  const hanging = Promise.allSettled(clients.map(({ signal }) => session.schedule({}, { signal })));
  const untilInside = (count: number) =>
    until(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(count));
  await untilInside(3);
  const more = await Promise.all(Array.from({ length: 7 }, () => session.schedule()));
  expect(more.map((res) => res.status)).toEqual(Array(7).fill(503));
  // Requests in progress also count under a new plan.
  await simulator.faults('crossmark', [capacity]);
  expect((await session.schedule()).status).toBe(503);
  clients[0]?.abort();
  await untilInside(2);
  expect((await session.schedule()).status).toBe(200);
  for (const client of clients) client.abort();
  await hanging;
  expect((await simulator.ledger('crossmark')).visitsMade).toBe(1);
});

test('rate: perSecond requests per second, then 429 with Retry-After', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [
    { kind: 'rate', perSecond: 2, status: 429, retryAfterSeconds: 1, ...aimed },
  ]);
  const burst = await Promise.all(Array.from({ length: 5 }, () => session.schedule()));
  expect(burst.map((res) => res.status).sort()).toEqual([200, 200, 429, 429, 429]);
  expect(burst.find((res) => res.status === 429)?.headers.get('retry-after')).toBe('1');
  simulator.advance(1001);
  expect((await session.schedule()).status).toBe(200);
});

test('expired ends only the session of the request, and never affects a sign-in', async () => {
  await using simulator = await startSimulator();
  const [one, two] = [await crossmarkSession(simulator.url), await crossmarkSession(simulator.url)];
  await simulator.faults('crossmark', [{ kind: 'expired', style: 'html', times: 1 }]);
  expect((await crossmarkLogin(simulator.url)).status).toBe(200);
  expect(await (await one.schedule()).text()).toContain('Sign in');
  expect((await one.schedule()).status).toBe(401);
  expect(await (await two.schedule()).json()).toMatchObject({ ok: 1 });
});

test('serialised sessions: one request at a time per session; other sessions do not wait', async () => {
  await using simulator = await startSimulator();
  const [one, two] = [await crossmarkSession(simulator.url), await crossmarkSession(simulator.url)];
  await simulator.settings('crossmark', { serialiseSessions: true });
  await simulator.faults('crossmark', [{ kind: 'hang', times: 1 }]);
  const client = new AbortController();
  const rejected = expect(one.schedule({}, { signal: client.signal })).rejects.toThrow();
  const untilInside = (count: number) =>
    until(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(count));
  await untilInside(1);
  const second = one.schedule({ mPlanID: '22222222' });
  await untilInside(2);
  expect(await (await two.schedule({ mPlanID: '33333333' })).json()).toMatchObject({ ok: 1 });
  expect((await simulator.ledger('crossmark')).visitsByItem).toEqual({ 33333333: 1 });
  client.abort();
  await rejected;
  expect(await (await second).json()).toMatchObject({ ok: 1 });
  expect((await simulator.ledger('crossmark')).visitsByItem).toEqual({ 22222222: 1, 33333333: 1 });
});

const untilHeld = (simulator: Awaited<ReturnType<typeof startSimulator>>, held: number) =>
  until(async () => expect(await simulator.ledger('crossmark')).toMatchObject({ held }));

test('gate: each request is held until it is released, oldest first', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'gate', ...aimed, times: 3 }]);
  const calls = [];
  for (const [index, mPlanID] of ['11111111', '22222222', '33333333'].entries()) {
    calls.push(session.schedule({ mPlanID }));
    await untilHeld(simulator, index + 1);
  }
  // The gate holds three writes. A fourth write and a read pass.
  expect((await session.schedule({ mPlanID: '44444444' })).status).toBe(200);
  expect((await session.plan('44444444')).total).toBeGreaterThan(0);
  expect((await simulator.ledger('crossmark')).visitsByItem).toEqual({ 44444444: 1 });
  const release = (body?: object) => simulator.send('POST', simulator.control('crossmark', '/release'), body);
  expect(await (await release({ count: 1 })).json()).toEqual({ released: 1, held: 2 });
  expect((await calls[0])?.status).toBe(200);
  expect((await simulator.ledger('crossmark')).visitsByItem).toEqual({ 11111111: 1, 44444444: 1 });
  expect(await (await release()).json()).toEqual({ released: 2, held: 0 });
  expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([200, 200, 200]);
  expect((await simulator.ledger('crossmark')).visitsMade).toBe(4);
});

test('gate with afterApply holds between work and answer, and combines with an ending', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [
    { kind: 'status', status: 502, ...aimed, afterApply: true },
    { kind: 'gate', ...aimed },
    { kind: 'gate', ...aimed, afterApply: true },
  ]);
  const call = session.schedule();
  await untilHeld(simulator, 1);
  expect((await simulator.ledger('crossmark')).visitsMade).toBe(0);
  await simulator.send('POST', simulator.control('crossmark', '/release'));
  await until(async () =>
    expect(await simulator.ledger('crossmark')).toMatchObject({ held: 1, visitsMade: 1, inFlight: 1 }),
  );
  await simulator.send('POST', simulator.control('crossmark', '/release'));
  expect((await call).status).toBe(502);
});

test('the work continues after a waiting client disconnects, and nothing leaks', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const capacity: Fault = { kind: 'capacity', limit: 1, status: 503 };
  await simulator.faults('crossmark', [capacity, { kind: 'gate', ...aimed }]);
  const client = new AbortController();
  const rejected = expect(session.schedule({}, { signal: client.signal })).rejects.toThrow();
  await untilHeld(simulator, 1);
  client.abort();
  await rejected;
  await until(async () =>
    expect(await simulator.ledger('crossmark')).toMatchObject({ inFlight: 0, held: 1, visitsMade: 0 }),
  );
  await simulator.send('POST', simulator.control('crossmark', '/release'));
  await until(async () => {
    const ledger = await simulator.ledger('crossmark');
    expect(ledger).toMatchObject({ held: 0, visitsMade: 1 });
    expect(ledger.requests.at(-1)).toMatchObject({ outcome: 'client gone', applied: true });
  });
  await simulator.faults('crossmark', [capacity]);
  expect((await session.schedule()).status).toBe(200);
});

test('a replaced plan holds no request, not even one that reaches its gate later', async () => {
  const plan = new FaultPlan();
  plan.replace([{ kind: 'gate' }]);
  const { before } = plan.admit({ operation: 'schedule-event', session: 'living', nowMs: 0 });
  plan.replace([{ kind: 'gate' }]);
  await before.gate?.hold(new AbortController().signal);
  expect(before.gate?.held).toBe(0);
  expect(plan.view()).toMatchObject({ held: 0, fired: [0] });
});

test.each(['replace', 'delete', 'reset', 'stop'] as const)('%s releases every held request', async (how) => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'gate', ...aimed }]);
  const call = session.schedule().then(
    ({ status }) => status,
    () => 'broken',
  );
  await untilHeld(simulator, 1);
  if (how === 'replace') await simulator.faults('crossmark', [{ kind: 'gate', ...aimed }]);
  if (how === 'delete') await simulator.send('DELETE', simulator.control('crossmark', '/faults'));
  if (how === 'reset') await simulator.send('POST', simulator.control('crossmark', '/reset'));
  if (how === 'stop') await simulator[Symbol.asyncDispose]();
  expect(await call).toBe(how === 'replace' || how === 'delete' ? 200 : 'broken');
});

test('signedIn selects requests with a valid or an expired session; a sign-in is neither', async () => {
  await using simulator = await startSimulator();
  const [one, two] = [await crossmarkSession(simulator.url), await crossmarkSession(simulator.url)];
  await simulator.faults('crossmark', [{ kind: 'expired', style: '401', times: 1 }]);
  expect((await one.schedule()).status).toBe(401);
  await simulator.faults('crossmark', [
    { kind: 'status', status: 500, signedIn: true, times: 1 },
    { kind: 'status', status: 502, signedIn: false, times: 1 },
  ]);
  expect((await crossmarkLogin(simulator.url)).status).toBe(200);
  expect((await one.schedule()).status).toBe(502);
  expect((await one.schedule()).status).toBe(401);
  expect((await two.schedule()).status).toBe(500);
  expect((await two.schedule()).status).toBe(200);
});

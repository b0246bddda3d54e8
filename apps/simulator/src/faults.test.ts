/** Every fault over real HTTP, with what the ledger must say afterwards. */
import { expect, test, vi } from 'vitest';
import type { Fault } from './faults.ts';
import { crossmarkLogin, crossmarkSession, startSimulator } from './test-kit.ts';

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

test('what the client sees of each ending', async () => {
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

test('work goes on when the client has gone during a latency', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'latency', ms: 150, ...aimed }]);
  await expect(session.schedule({}, { signal: AbortSignal.timeout(30) })).rejects.toThrow();
  await vi.waitFor(async () => {
    const ledger = await simulator.ledger('crossmark');
    expect(ledger.requests.at(-1)).toMatchObject({ outcome: 'client gone', applied: true });
    expect(ledger.visits).toHaveLength(1);
  });
});

test('hang without an end holds the socket until the client leaves', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'hang', ...aimed, afterApply: true }]);
  const client = new AbortController();
  const call = session.schedule({}, { signal: client.signal });
  const rejected = expect(call).rejects.toThrow();
  await vi.waitFor(async () => {
    expect(await simulator.ledger('crossmark')).toMatchObject({ inFlight: 1, visitsMade: 1 });
  });
  client.abort();
  await rejected;
  await vi.waitFor(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(0));
  expect((await simulator.ledger('crossmark')).requests.at(-1)).toMatchObject({
    outcome: 'hung',
    applied: true,
  });
});

test('late-commit does the work only after the client gave up', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [{ kind: 'late-commit', ms: 50, times: 1 }]);
  const client = new AbortController();
  const rejected = expect(session.schedule({}, { signal: client.signal })).rejects.toThrow();
  await vi.waitFor(async () => {
    expect((await simulator.ledger('crossmark')).requests.at(-1)).toMatchObject({ outcome: 'late-commit' });
  });
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({
    condition: 'Unstaffed',
    storeID: '157384',
  });
  client.abort();
  await rejected;
  await vi.waitFor(async () => expect((await simulator.ledger('crossmark')).visits).toHaveLength(1));
  const late = (await simulator.ledger('crossmark')).requests.find(
    (entry) => entry.outcome === 'late-commit',
  );
  expect(late).toMatchObject({ operation: 'schedule-event', applied: true });
});

test('a reset of the simulator breaks what hangs and drops what would commit late', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await simulator.faults('crossmark', [
    { kind: 'hang', ...aimed, times: 1 },
    { kind: 'late-commit', ms: 0 },
  ]);
  const calls = [session.schedule(), session.schedule()];
  const settled = Promise.allSettled(calls);
  await vi.waitFor(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(2));
  await simulator.send('POST', simulator.control('crossmark', '/reset'));
  expect((await settled).map((call) => call.status)).toEqual(['rejected', 'rejected']);
  const ledger = await simulator.ledger('crossmark');
  expect(ledger).toMatchObject({ requests: [], visits: [], logins: 0, maxInFlight: 0, inFlight: 0 });
});

test('times counts down, operation aims, and the first ending wins', async () => {
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

test('capacity: never more at once than the limit, the others are refused at the door', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const capacity: Fault = { kind: 'capacity', limit: 3, status: 503 };
  await simulator.faults('crossmark', [capacity, { kind: 'hang' }]);
  const clients = Array.from({ length: 3 }, () => new AbortController());
  const hanging = Promise.allSettled(clients.map(({ signal }) => session.schedule({}, { signal })));
  const untilInside = (count: number) =>
    vi.waitFor(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(count));
  await untilInside(3);
  const more = await Promise.all(Array.from({ length: 7 }, () => session.schedule()));
  expect(more.map((res) => res.status)).toEqual(Array(7).fill(503));
  // Who is inside counts under a new plan too.
  await simulator.faults('crossmark', [capacity]);
  expect((await session.schedule()).status).toBe(503);
  clients[0]?.abort();
  await untilInside(2);
  expect((await session.schedule()).status).toBe(200);
  for (const client of clients) client.abort();
  await hanging;
  expect((await simulator.ledger('crossmark')).visitsMade).toBe(1);
});

test('rate: so many a second, then 429 with Retry-After', async () => {
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

test('expired as a fault ends that session only, and leaves signing in alone', async () => {
  await using simulator = await startSimulator();
  const [one, two] = [await crossmarkSession(simulator.url), await crossmarkSession(simulator.url)];
  await simulator.faults('crossmark', [{ kind: 'expired', style: 'html', times: 1 }]);
  expect((await crossmarkLogin(simulator.url)).status).toBe(200);
  expect(await (await one.schedule()).text()).toContain('Sign in');
  expect((await one.schedule()).status).toBe(401);
  expect(await (await two.schedule()).json()).toMatchObject({ ok: 1 });
});

test('serialised sessions: one at a time per session, another session is not held up', async () => {
  await using simulator = await startSimulator();
  const [one, two] = [await crossmarkSession(simulator.url), await crossmarkSession(simulator.url)];
  await simulator.settings('crossmark', { serialiseSessions: true });
  await simulator.faults('crossmark', [{ kind: 'hang', times: 1 }]);
  const client = new AbortController();
  const rejected = expect(one.schedule({}, { signal: client.signal })).rejects.toThrow();
  const untilInside = (count: number) =>
    vi.waitFor(async () => expect((await simulator.ledger('crossmark')).inFlight).toBe(count));
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

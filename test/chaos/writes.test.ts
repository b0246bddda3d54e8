/** Writes with ambiguous ends, while workers are killed: none is done twice or lost. */
import type { CallView, SimulatorLedger } from '@recloser/local-stack/stack/stack-api';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

/** A request times out after 1 s and is done at most 0.8 s later. The last read-back comes long after that. */
const env = {
  WORKER_CONCURRENCY: '10',
  CROSSMARK_TIMEOUT_MS: '1000',
  // The breaker must not hold back calls here. It has its own tests.
  CROSSMARK_BREAKER_FAIL_MAX: '1000',
  CROSSMARK_BREAKER_FAIL_PERCENT: '100',
  READ_BACK_WAITS_MS: '300,1500,6000',
};

const write = { operation: 'schedule-event' };
const everyDoubt = [
  // Slow enough that the calls outlast a dozen workers.
  { kind: 'latency', ms: 500 },
  { ...write, kind: 'reset', afterApply: true, probability: 0.06 },
  { ...write, kind: 'hang', afterApply: true, probability: 0.04 },
  { ...write, kind: 'status', status: 503, afterApply: true, probability: 0.06 },
  { ...write, kind: 'html', afterApply: true, probability: 0.05 },
  { ...write, kind: 'html', status: 403, afterApply: true, probability: 0.04 },
  { ...write, kind: 'html', status: 404, afterApply: true, probability: 0.03 },
  { ...write, kind: 'late-commit', ms: 800, probability: 0.06 },
  { ...write, kind: 'reset', probability: 0.04 },
  { ...write, kind: 'hang', probability: 0.02 },
];

/** Workers that are never killed, so that a slow machine does not run out of workers. */
const leftReady = 3;

/** Every second, kills the oldest worker and starts another, until `stop`. */
function killEverySecond({ stack }: TestStack): { readonly kills: number; stop(): Promise<void> } {
  const ready = [...stack.workers];
  const starts: Promise<void>[] = [];
  let kills = 0;
  const timer = setInterval(() => {
    const oldest = ready.length > leftReady ? ready.shift() : undefined;
    if (!oldest) return;
    kills += 1;
    starts.push(stack.kill(oldest).then(async () => void ready.push(await stack.addWorker())));
  }, 1_000);
  return {
    get kills() {
      return kills;
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(starts);
    },
  };
}

/** Checks that no item has two visits, and that every succeeded call's visit exists with the id of its result. */
function expectNoneDoubledNoneMissing(calls: readonly CallView[], ledger: SimulatorLedger): void {
  expect(Math.max(...Object.values(ledger.visitsByItem))).toBe(1);
  const items = new Map(ledger.visits.map((visit) => [String(visit.scheduleEventId), String(visit.mPlanId)]));
  for (const { id, status, result } of calls) {
    if (status === 'succeeded') expect(items.get(String(result?.scheduleEventId)), id).toBe(result?.mPlanId);
  }
}

/** `WRITES=1000` makes more writes. */
const leastVisits = Number(process.env.WRITES ?? 600);
const leastKills = 10;

test('visits with ambiguous ends while a worker is killed every second: none is booked twice, missing or failed', async () => {
  await using running = await startTestStack({ workers: 5, env });
  const { api } = running;
  await api.faults(everyDoubt, { seed: 20_271_231 });
  const killer = killEverySecond(running);
  onTestFinished(() => killer.stop());
  const untilLeft = (most: number) =>
    until(async () => {
      const { queue } = await api.upstream();
      expect(queue.waiting + queue.delayed + queue.active).toBeLessThan(most);
    }, 200_000);
  const ids: string[] = [];
  // More calls than the workers make at once, so that every killed worker has some.
  while (ids.length < leastVisits || killer.kills < leastKills) {
    ids.push(...(await postVisits(api, 100, ids.length)));
    await untilLeft(150);
  }
  await untilLeft(40);
  await killer.stop();
  const ends = await allEnded(api, ids, 120_000);
  const [calls, ledger] = [await api.calls(ids), await api.ledger()];
  const doubts = calls.filter(({ history }) => history.some(({ outcome }) => outcome === 'in_doubt')).length;
  const stalled = calls.filter(({ attempts }) => attempts.stalls > 0).length;
  console.log({ visits: ids.length, kills: killer.kills, ends, doubts, stalled, made: ledger.visitsMade });
  expect(stalled).toBeGreaterThan(2 * leastKills);
  expect(doubts / ids.length).toBeGreaterThan(0.15);
  expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(ids.length);
  expect((ends.in_doubt ?? 0) / ids.length).toBeLessThan(0.02);
  expectNoneDoubledNoneMissing(calls, ledger);
});

test('a worker frozen during its writes: they complete late, are not sent again, and its late answers count', async () => {
  // Answered long after the lock expires, and well before the attempt's timeout.
  await using running = await startTestStack({
    workers: 2,
    env: {
      ...env,
      CROSSMARK_TIMEOUT_MS: '60000',
      WORKER_CONCURRENCY: '3',
      READ_BACK_WAITS_MS: '500,2000,10000',
    },
  });
  const { api, stack } = running;
  const [first] = await postVisits(api, 1);
  expect(await allEnded(api, [first ?? ''])).toEqual({ succeeded: 1 });
  // Longer than the lock (10 s) and the stall check, shorter than the last read-back.
  await api.faults([{ ...write, kind: 'latency', ms: 16_000, times: 6 }]);
  const ids = await postVisits(api, 6, 1);
  await until(async () => expect((await api.upstream()).queue.active).toBe(6));
  await until(async () =>
    expect((await api.ledger()).requests.filter(({ outcome }) => outcome === 'in flight')).toHaveLength(6),
  );
  const [frozen] = stack.workers;
  if (!frozen) throw new Error('no worker lives');
  frozen.signal('SIGSTOP');
  expect(await allEnded(api, ids)).toEqual({ succeeded: 6 });
  const before = await api.calls(ids);
  expect(before.filter(({ attempts }) => attempts.stalls > 0)).toHaveLength(3);
  frozen.signal('SIGCONT');
  const redis = new Redis(stack.redisUrl);
  onTestFinished(() => redis.disconnect());
  const late = await until(async () => {
    const entries = await redis.xrange('recloser:{crossmark}:late-answers', '-', '+');
    expect(entries).toHaveLength(3);
    return entries.map(([, fields]) => JSON.parse(fields[3] ?? '') as Record<string, unknown>);
  });
  for (const answer of late) {
    const call = before.find(({ id }) => id === answer.callId);
    expect(answer).toMatchObject({
      outcome: 'done',
      result: { scheduleEventId: call?.result?.scheduleEventId },
    });
  }
  // The frozen worker does not change calls that were settled without it.
  expect(await api.calls(ids)).toEqual(before);
  const ledger = await api.ledger();
  expectNoneDoubledNoneMissing(before, ledger);
  expect(ledger.requests.filter(({ operation }) => operation === 'schedule-event')).toHaveLength(7);
});

/**
 * Failover by sentinels: what is lost, what is done twice, and how soon the fleet recovers. Under traffic, and with a
 * master that dies before its last writes reach a replica.
 */
import { type StackApi, visitInput } from '@recloser/local-stack/stack/stack-api';
import { expect, test } from 'vitest';
import { type SentinelSet, startSentinelSet } from '../support/redis/redis-sentinel.ts';
import { info } from '../support/redis/redis-server.ts';
import { expectNoneDoubled, ledgerOf, Traffic } from '../support/redis/redis-traffic.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

/** A latency, so that a failover always happens during writes. */
const slow = [{ kind: 'latency', ms: 150 }];

async function startOn(url: string, { workers = 1, env = {} as Record<string, string> } = {}) {
  const running = await startTestStack({ workers, env: { REDIS_URL: url, ...env } });
  await running.api.faults(slow);
  return running;
}

test.each([
  { how: 'frozen and thawed afterwards', strike: 'freeze' },
  { how: 'killed with -9', strike: 'kill' },
] as const)(
  'the master is $how under traffic, with REDIS_WAIT_REPLICAS=1: nothing is lost, intake and workers come back',
  async (given) => {
    const redis = await startSentinelSet({ replicas: 2 });
    await using running = await startOn(redis.url, {
      workers: 3,
      env: { REDIS_WAIT_REPLICAS: '1' },
    });
    const { api } = running;
    const traffic = new Traffic(api);
    await until(() => expect(traffic.accepted.length).toBeGreaterThan(100));
    const [struckMs, struckAt] = [performance.now(), Date.now()];
    await redis.master[given.strike]();
    await until(async () => expect((await redis.currentMaster()).port).not.toBe(redis.master.port));
    const failoverMs = Math.round(performance.now() - struckMs);
    await until(() => expect(traffic.accepted.at(-1)?.atMs).toBeGreaterThan(struckMs + failoverMs + 1_000));
    const resumed = await until(async () => {
      const after = (await api.ledger()).requests.find(({ at }) => at > struckAt + failoverMs);
      expect(after).toBeDefined();
      return (after?.at ?? 0) - struckAt;
    });
    if (given.strike === 'freeze') {
      redis.master.thaw();
      const old = redis.master.connect();
      await until(async () => expect(await info(old, 'role')).toBe('slave'));
    }
    await traffic.stop();
    const { lost, ends } = await ledgerOf(api, traffic.acceptedIds());
    const ledger = {
      accepted: traffic.accepted.length,
      lost: lost.length,
      ends,
      refused: traffic.problems(),
    };
    console.log(given.how, {
      ...ledger,
      failoverMs,
      intakeBackMs: traffic.outageMs(struckMs),
      workersBackMs: resumed,
    });
    await expectNoneDoubled(api);
    expect(lost).toEqual([]);
    expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(traffic.accepted.length);
  },
);

/** Kills the master while its replicas are disconnected. Then lets the replicas follow the new master. */
async function killUnheard(redis: SentinelSet): Promise<void> {
  await redis.master.kill();
  await until(async () => expect((await redis.currentMaster()).port).not.toBe(redis.master.port));
  await redis.mendReplication();
}

/**
 * Posts ten calls in parallel. Returns `202` or the problem's code for each. In sequence they would take so long that
 * the sentinels would reject the disconnected replicas.
 */
async function postTen(api: StackApi, first: number): Promise<{ answers: string[]; ids: string[] }> {
  const posts = Array.from({ length: 10 }, (_, n) =>
    api.post('crossmark/schedule-event', { input: visitInput(first + n) }),
  );
  const posted = await Promise.all(posts);
  return {
    answers: posted.map(({ status, body }) => (status === 202 ? '202' : String(body.code))),
    ids: posted.filter(({ status }) => status === 202).map(({ body }) => String(body.id)),
  };
}

/** Freezes all workers. */
function freezeWorkers({ stack: { workers } }: TestStack): { thaw(): void } {
  for (const worker of workers) worker.signal('SIGSTOP');
  return {
    thaw() {
      for (const worker of workers) worker.signal('SIGCONT');
    },
  };
}

async function scheduleVisits(api: StackApi, count: number, inMs = 0): Promise<string[]> {
  const runAt = new Date(Date.now() + inMs).toISOString();
  const posts = Array.from({ length: count }, (_, n) =>
    api.post('crossmark/schedule-event', { input: visitInput(1_000 + n), options: { runAt } }),
  );
  return (await Promise.all(posts)).map(({ status, body }) => {
    expect(status, JSON.stringify(body)).toBe(202);
    return String(body.id);
  });
}

test('with asynchronous replication, calls that reached no replica are lost with the master', async () => {
  const redis = await startSentinelSet({ replicas: 2 });
  await using running = await startOn(redis.url);
  const { api } = running;
  const before = await postVisits(api, 10, 100);
  await allEnded(api, before);
  await redis.cutReplication();
  const { answers, ids } = await postTen(api, 200);
  expect(new Set(answers)).toEqual(new Set(['202']));
  await killUnheard(redis);
  const { lost, ends } = await ledgerOf(api, [...before, ...ids]);
  console.log('no replica heard of the last ten', { accepted: 20, lost: lost.length, ends });
  expect(lost).toEqual(ids);
});

test('REDIS_WAIT_REPLICAS=1: a call that reached no replica is not accepted, and no write is sent whose mark could be lost', async () => {
  const redis = await startSentinelSet({ replicas: 2 });
  await using running = await startOn(redis.url, { env: { REDIS_WAIT_REPLICAS: '1' } });
  const { api } = running;
  const workers = freezeWorkers(running);
  const due = await scheduleVisits(api, 10);
  await redis.cutReplication();
  workers.thaw();
  const { answers, ids } = await postTen(api, 200);
  expect(new Set(answers)).toEqual(new Set(['storage_unknown']));
  await until(async () => {
    const views = await api.calls(due);
    expect(views.every(({ attempts }) => attempts.deferrals > 0)).toBe(true);
  });
  const sent = (await api.ledger()).requests.filter(({ operation }) => operation === 'schedule-event');
  expect(sent).toEqual([]);
  await killUnheard(redis);
  const { lost, ends } = await ledgerOf(api, [...due, ...ids]);
  console.log('REDIS_WAIT_REPLICAS=1', { accepted: 10, lost: lost.length, ends });
  expect(lost).toEqual([]);
  expect(ends).toEqual({ succeeded: 10 });
  await expectNoneDoubled(api);
  // One replica is left, which is enough for the next failover once it follows the new master.
  const master = (await redis.currentMaster()).connect();
  await until(async () => expect(await info(master, 'slave0')).toContain('state=online'));
  const after = await postTen(api, 300);
  expect(new Set(after.answers)).toEqual(new Set(['202']));
  await allEnded(api, after.ids);
});

test('min-replicas-to-write: a master without replicas refuses writes, workers wait, and both continue when a replica is back', async () => {
  const redis = await startSentinelSet({ args: ['--min-replicas-to-write', '1'] });
  await using running = await startOn(redis.url);
  const { api } = running;
  await allEnded(api, await postVisits(api, 5, 100));
  const workers = freezeWorkers(running);
  const due = await scheduleVisits(api, 5, 500);
  await redis.cutReplication();
  workers.thaw();
  const { answers } = await postTen(api, 200);
  expect(new Set(answers)).toEqual(new Set(['storage_unavailable']));
  await until(async () => expect((await api.upstream()).queue.overdue).toBe(5));
  await redis.mendReplication();
  expect(await allEnded(api, due)).toEqual({ succeeded: 5 });
  await allEnded(api, await postVisits(api, 5, 300));
  await expectNoneDoubled(api);
});

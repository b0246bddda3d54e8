/** The whole system on a Redis Cluster of three masters with one replica each, and a master that dies under traffic. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { expect, onTestFinished, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { doctor } from '../support/doctor.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis/redis-cluster.ts';
import { expectNoneDoubled, ledgerOf, Traffic } from '../support/redis/redis-traffic.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const password = 'correct horse battery';
/** A key of the upstream. All of its keys are in one shard. */
const upstreamKey = 'recloser:{crossmark}:breaker';

const env = {
  ADMIN_PASSWORD: password,
  REDIS_WAIT_REPLICAS: '1',
  CALLBACK_HOSTS: '127.0.0.1',
  CALLBACK_SECRETS: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
};

/** The ids of the calls that the application received callbacks for. */
async function startApplication(): Promise<{ url: string; told: string[] }> {
  const told: string[] = [];
  const server = createServer(async (request, response) => {
    told.push(JSON.parse((await request.toArray()).join('')).data.id);
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, told };
}

/** Uses data in several shards: both upstreams, a batch, an idempotency key, events, a callback. */
async function everythingOfWebWorks({ api, stack }: TestStack): Promise<void> {
  const v1 = `${stack.urls.web}/v1`;
  const application = await startApplication();
  const report = await api.post('walmart-edr/browse-events', {
    input: { startDate: '2027-01-04', endDate: '2027-01-04', storeNumber: '8001' },
  });
  expect(report.status, JSON.stringify(report.body)).toBe(202);
  const keyed = () =>
    api.post(
      'crossmark/schedule-event',
      { input: visitInput(1), options: { callback: { url: application.url } } },
      { 'idempotency-key': 'only-once' },
    );
  const [first, again] = [await keyed(), await keyed()];
  const id = String(first.body.id);
  expect(again.body.id).toBe(id);
  expect(again.headers.get('idempotency-replayed')).toBe('true');
  const items = [2, 3].flatMap((n) => [
    { upstream: 'crossmark', operation: 'schedule-event', input: visitInput(n) },
    { upstream: 'walmart-edr', operation: 'get-report', input: { eventId: `81000${n}` } },
  ]);
  const batch = await fetch(`${v1}/calls:batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ items }),
  });
  const { results } = (await batch.json()) as { results: { status: number }[] };
  expect(results.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
  expect(await (await fetch(`${v1}/calls/${id}/events`)).text()).toContain('"succeeded"');
  await until(() => expect(application.told).toEqual([id]));
  expect(await allEnded(api, await postVisits(api, 20, 10))).toEqual({ succeeded: 20 });
}

/** Session, actions, live feed, audit log, Bull Board. */
async function everythingOfAdminWorks({ api }: TestStack, admin: AdminApi): Promise<void> {
  const upstreams = (await admin.get('/api/upstreams')).body.upstreams as { name: string }[];
  expect(upstreams.map(({ name }) => name)).toEqual(['crossmark', 'walmart-edr']);
  const act = (action: string) => admin.post('/api/upstreams/crossmark/actions', { action, reason: 'a try' });
  expect((await act('hold')).status).toBe(200);
  const held = await postVisits(api, 5, 50);
  await until(async () => expect((await api.call(held[0] ?? '')).status).toBe('deferred'));
  expect(await admin.firstEvent('/api/upstreams/stream')).toContain('a try');
  expect((await act('release')).status).toBe(200);
  expect(await allEnded(api, held)).toEqual({ succeeded: 5 });
  const { entries } = (await admin.get('/api/audit')).body as { entries: { action: string }[] };
  expect(entries.map(({ action }) => action)).toEqual(expect.arrayContaining(['hold', 'release']));
  expect(await admin.page('/queues/')).toContain('recloser-strip');
}

/** Every key of the upstream has its hash tag. Otherwise scripts would access two shards. */
async function expectOneShard(redis: RedisCluster): Promise<void> {
  const keys = (await Promise.all(redis.servers.map((server) => server.connect().keys('*')))).flat();
  // The id of a callback contains the call's id. Callbacks have their own hash tag.
  const ours = keys.filter((key) => key.includes('crossmark') && !key.startsWith('recloser:{callbacks}:'));
  expect(ours).toContain(upstreamKey);
  expect(ours.filter((key) => !key.startsWith('recloser:{crossmark}:'))).toEqual([]);
}

test('everything works on a cluster, and no accepted call is lost when a master is killed under traffic', async () => {
  const redis = await startRedisCluster();
  await using running = await startTestStack({ workers: 3, env: { REDIS_URL: redis.url, ...env } });
  const { api, stack } = running;
  const admin = await AdminApi.logIn(stack.urls.admin, 'admin', password);
  await everythingOfWebWorks(running);
  await everythingOfAdminWorks(running, admin);
  await expectOneShard(redis);
  const { findings } = await doctor({ REDIS_URL: redis.url });
  expect(findings.filter(({ check, status }) => /redis/i.test(check) && status === 'fail')).toEqual([]);

  const { master, replica } = await redis.holderOf(upstreamKey);
  await api.faults([{ kind: 'latency', ms: 150 }]);
  const traffic = new Traffic(api, { first: 1_000 });
  await until(() => expect(traffic.accepted.length).toBeGreaterThan(100));
  const [struckMs, struckAt] = [performance.now(), Date.now()];
  await master.kill();
  await until(async () => expect((await redis.holderOf(upstreamKey)).master).toBe(replica));
  const failoverMs = Math.round(performance.now() - struckMs);
  // The new master has no replica, so no call is accepted until the old master follows it.
  await redis.restart(master);
  const restartedMs = performance.now();
  await until(() => expect(traffic.accepted.at(-1)?.atMs).toBeGreaterThan(restartedMs + 1_000));
  const resumed = await until(async () => {
    const after = (await api.ledger()).requests.find(({ at }) => at > struckAt + failoverMs);
    expect(after).toBeDefined();
    return (after?.at ?? 0) - struckAt;
  });
  await traffic.stop();
  const { lost, ends } = await ledgerOf(api, traffic.acceptedIds());
  console.log('the master of a shard is killed', {
    accepted: traffic.accepted.length,
    lost: lost.length,
    ends,
    refused: traffic.problems(),
    failoverMs,
    replicaBackMs: Math.round(restartedMs - struckMs),
    intakeBackMs: traffic.outageMs(struckMs),
    workersBackMs: resumed,
  });
  await expectNoneDoubled(api);
  expect(lost).toEqual([]);
  expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(traffic.accepted.length);
  // The admin session survives, whichever shard it is in.
  expect((await admin.get('/api/upstreams')).status).toBe(200);
});

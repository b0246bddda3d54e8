/** Callbacks with real Redis, a receiver on loopback, and calls made by a worker with a scripted client. */
import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FleetBreaker } from '@recloser/breaker/fleet-breaker';
import { callbacksKey } from '@recloser/calls/call/keys';
import { callbackBody } from '@recloser/calls/callback/event';
import { parseCallbackHosts } from '@recloser/calls/callback/hosts';
import { sweepEnds } from '@recloser/calls/callback/queue';
import { parseCallbackSecrets } from '@recloser/calls/callback/signature';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { createSealer } from '@recloser/runtime/secrets/seal';
import type { Job } from 'bullmq';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createKit,
  done,
  type Kit,
  outcome,
  ScriptedClient,
  testTimings,
  until,
} from '../../test-kit/kit.ts';
import { StopSwitch } from '../queue/stop-switch.ts';
import { callbackBreakerRoot } from './gate.ts';
import { createCallbackMetrics } from './metrics.ts';
import { CallbackWorker, type CallbackWorkerOptions } from './worker.ts';

type Taken = { readonly id: string; readonly callId: string; readonly type: string; readonly text: string };

async function startReceiver() {
  const taken: Taken[] = [];
  const receiver = {
    taken,
    requests: 0,
    open: 0,
    mostOpen: 0,
    answer: (response: ServerResponse): unknown => response.writeHead(204).end(),
    url: '',
    of: (callId: string) => taken.filter((one) => one.callId === callId),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer((request, response) => {
    receiver.requests += 1;
    receiver.open += 1;
    receiver.mostOpen = Math.max(receiver.mostOpen, receiver.open);
    response.once('close', () => {
      receiver.open -= 1;
    });
    void request.toArray().then((parts) => {
      const text = parts.join('');
      const { type, data } = JSON.parse(text) as { type: string; data: { id: string } };
      taken.push({ id: String(request.headers['webhook-id']), callId: data.id, type, text });
      receiver.answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return receiver;
}

let kit: Kit;
let client: ScriptedClient;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
const stops: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  kit = await createKit();
  client = new ScriptedClient();
  receiver = await startReceiver();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await kit[Symbol.asyncDispose]();
  await receiver.stop();
});

function callbackWorker(options: Partial<CallbackWorkerOptions> & { allow?: string } = {}) {
  const hosts = parseCallbackHosts(options.allow ?? '127.0.0.1');
  const secrets = parseCallbackSecrets(`whsec_${randomBytes(32).toString('base64')}`);
  if (!hosts.ok || !secrets.ok) throw new Error('the test is wrong');
  const stop = new StopSwitch();
  const worker = new CallbackWorker({
    upstreams: ['testing'],
    prefix: kit.prefix,
    connections: { worker: kit.connect('worker'), fast: kit.connect('worker') },
    workerId: 'callbacks-1',
    hosts: hosts.value,
    signer: secrets.signer,
    sealer: kit.sealer,
    timeoutMs: 60_000,
    retryWaitsMs: Array(50).fill(10),
    breaker: { failMax: 5, resetMs: 30_000 },
    metrics: createCallbackMetrics(createMetrics('test')),
    log: kit.log,
    stop,
    sweepMs: 20,
    timings: testTimings,
    ...options,
  });
  stops.push(async () => {
    stop.abortAll();
    await worker.close();
  });
  return { worker, stop };
}

/** Holds the receiver's next answer until the test sends it. Later requests get 204. */
function holdAnswer(): PromiseWithResolvers<ServerResponse> {
  const held = Promise.withResolvers<ServerResponse>();
  receiver.answer = (response) => {
    receiver.answer = (next) => next.writeHead(204).end();
    held.resolve(response);
  };
  return held;
}

/** A finished call that no worker has announced. */
async function endedCall(
  url = `${receiver.url}/hook`,
  operation: 'read' | 'secret' = 'read',
): Promise<string> {
  const id = await kit.post(operation, { callback: { url } });
  await kit.until(id, 'succeeded');
  return id;
}

function jobsOf(worker: CallbackWorker): Promise<Job[]> {
  return worker.queue.getJobs(['completed', 'failed', 'delayed', 'waiting', 'active']);
}

describe('a finished call that was not announced', () => {
  test('is found by the sweep and delivered once, even if several workers sweep', async () => {
    await kit.worker(client);
    const ids = [await endedCall(), await endedCall(), await endedCall()];
    const [one, other] = [callbackWorker().worker, callbackWorker({ workerId: 'callbacks-2' }).worker];
    const sweep = (worker: CallbackWorker) =>
      sweepEnds({
        redis: kit.redis,
        source: { upstream: 'testing', root: kit.root, queue: kit.queue },
        callbacks: worker.queue,
        attempts: 3,
      });
    await Promise.all([sweep(one), sweep(other), sweep(one)]);
    one.start();
    other.start();
    await until(() => {
      for (const id of ids) expect(receiver.of(id)).toHaveLength(1);
    });
    // As after a crash between adding the job and noting it: the call is announced again.
    await kit.redis.zadd(callbacksKey(kit.root), 0, ids[0] ?? '');
    await until(async () =>
      expect(Number(await kit.redis.zscore(callbacksKey(kit.root), ids[0] ?? ''))).toBeGreaterThan(0),
    );
    const jobs = await jobsOf(one);
    expect(jobs.map(({ id }) => id).toSorted()).toEqual(receiver.taken.map(({ id }) => id).toSorted());
    expect(receiver.taken).toHaveLength(3);
  });

  test('a call without a callback URL is not noted', async () => {
    await kit.worker(client);
    const id = await kit.post('read');
    await kit.until(id, 'succeeded');
    expect(await kit.redis.exists(callbacksKey(kit.root))).toBe(0);
  });

  test('the note is removed when the call is no longer kept', async () => {
    await kit.worker(client);
    const id = await endedCall();
    callbackWorker().worker.start();
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    await kit.queue.remove(id);
    await until(async () => expect(await kit.redis.exists(callbacksKey(kit.root))).toBe(0));
  });

  test('a failed call that a person retries has a second callback', async () => {
    await kit.worker(client);
    client.onRun = async () => outcome('reject');
    const id = await kit.post('read', { callback: { url: `${receiver.url}/hook` } });
    callbackWorker().worker.start();
    await until(() => expect(receiver.of(id).map(({ type }) => type)).toEqual(['call.failed']));
    client.onRun = async () => done;
    await (await kit.queue.getJob(id))?.retry('failed');
    await until(() =>
      expect(receiver.of(id).map(({ type }) => type)).toEqual(['call.failed', 'call.succeeded']),
    );
    expect(new Set(receiver.of(id).map((one) => one.id)).size).toBe(2);
  });

  test('a callback that a newer result supersedes is dropped', async () => {
    await kit.worker(client);
    const held = holdAnswer();
    client.onRun = async () => outcome('reject');
    const id = await kit.post('read', { callback: { url: `${receiver.url}/hook` } });
    const { worker } = callbackWorker();
    worker.start();
    const response = await held.promise;
    client.onRun = async () => done;
    await (await kit.queue.getJob(id))?.retry('failed');
    await kit.until(id, 'succeeded');
    response.writeHead(500).end();
    await until(() =>
      expect(receiver.of(id).map(({ type }) => type)).toEqual(['call.failed', 'call.succeeded']),
    );
    await until(async () => {
      const ends = (await worker.queue.getJobs(['completed'])).map(({ returnvalue }) => returnvalue?.outcome);
      expect(ends.toSorted()).toEqual(['delivered', 'superseded']);
    });
    expect(receiver.of(id)).toHaveLength(2);
  });
});

describe('the body', () => {
  test('with a personal result is delivered, and encrypted in the queue', async () => {
    await kit.worker(client);
    client.onRun = async () => ({ ...done, result: { name: 'Jo Muster' } });
    receiver.answer = (response) => response.writeHead(503).end();
    const id = await endedCall(undefined, 'secret');
    const { worker } = callbackWorker();
    worker.start();
    const job = await until(async () => {
      const [found] = await jobsOf(worker);
      expect(found?.data.sealedBody).toBeTypeOf('string');
      return found;
    });
    const stored = JSON.stringify(await kit.redis.hgetall(worker.queue.toKey(job?.id ?? '')));
    expect(stored).not.toContain('Jo Muster');
    expect(receiver.of(id)[0]?.text).toContain('Jo Muster');
    expect(kit.lines.join('\n')).not.toContain('Jo Muster');
  });

  test('with a personal result is delivered only by a worker that has its key', async () => {
    await kit.worker(client);
    client.onRun = async () => ({ ...done, result: { name: 'Jo Muster' } });
    const id = await endedCall(undefined, 'secret');
    const other = callbackWorker({ sealer: createSealer(Buffer.alloc(32, 9)) });
    other.worker.start();
    const meets = 'left to a worker with the right SESSION_KEY';
    await until(() => expect(kit.lines.join('')).toContain(meets));
    expect(receiver.of(id)).toEqual([]);
    const [job] = await jobsOf(other.worker);
    expect(job?.attemptsMade).toBe(0);
    await other.worker.close();
    callbackWorker().worker.start();
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    expect(receiver.of(id)[0]?.text).toContain('Jo Muster');
  });

  test('stays the same if the call is removed before the retry', async () => {
    await kit.worker(client);
    const held = holdAnswer();
    const id = await endedCall();
    callbackWorker().worker.start();
    const response = await held.promise;
    await kit.queue.remove(id);
    response.writeHead(500).end();
    await until(() => expect(receiver.of(id)).toHaveLength(2));
    expect(receiver.of(id)[1]?.text).toBe(receiver.of(id)[0]?.text);
  });

  test('omits the result if it is too long', async () => {
    await kit.worker(client);
    client.onRun = async () => ({ ...done, result: { items: 'x'.repeat(2_000) } });
    const id = await endedCall();
    const view = await kit.view(id);
    expect(JSON.parse(callbackBody(view, 1_000).text)).toEqual({
      type: 'call.succeeded',
      timestamp: view.finishedAt,
      resultOmitted: true,
      data: { ...view, result: null },
    });
    expect(JSON.parse(callbackBody(view).text).data).toEqual(JSON.parse(JSON.stringify(view)));
  });
});

describe('receivers that fail', () => {
  test('one that always refuses is given up after the last attempt', async () => {
    await kit.worker(client);
    receiver.answer = (response) => response.writeHead(400).end();
    await endedCall();
    const { worker } = callbackWorker({ retryWaitsMs: [10, 10] });
    worker.start();
    await until(async () => expect(await worker.queue.getFailedCount()).toBe(1));
    const [job] = await worker.queue.getFailed();
    expect(job?.failedReason).toBe('given_up: http_400');
    expect(receiver.requests).toBe(3);
  });

  test('one that hangs times out', async () => {
    await kit.worker(client);
    receiver.answer = () => {};
    const id = await endedCall();
    const { worker } = callbackWorker({ timeoutMs: 50 });
    worker.start();
    await until(() => expect(kit.lines.join('\n')).toContain('"result":"timeout"'));
    await worker.close();
    receiver.answer = (response) => response.writeHead(204).end();
    callbackWorker({ workerId: 'callbacks-2' }).worker.start();
    await until(() => expect(kit.lines.join('\n')).toContain('"result":"http_204"'));
    expect(receiver.of(id).length).toBeGreaterThan(1);
  });

  test('one that is down opens its breaker for the fleet, which closes automatically', async () => {
    await kit.worker(client);
    receiver.answer = (response) => response.writeHead(500).end();
    const ids = await Promise.all(Array.from({ length: 20 }, () => endedCall()));
    const breaker = { failMax: 3, resetMs: 50 };
    const { worker } = callbackWorker({ breaker });
    // All 20 at once. The workers' sweeps would find a few at a time.
    const source = { upstream: 'testing', root: kit.root, queue: kit.queue };
    await sweepEnds({ redis: kit.redis, source, callbacks: worker.queue, attempts: 51 });
    expect(await worker.queue.count()).toBe(20);
    worker.start();
    callbackWorker({ breaker, workerId: 'callbacks-2' }).worker.start();
    const root = callbackBreakerRoot(kit.prefix, new URL(receiver.url).host);
    const fleet = new FleetBreaker({ redis: kit.redis, root, policy: breaker });
    await until(async () => expect((await fleet.read()).trips).toBeGreaterThanOrEqual(3));
    // Count the requests first, so that later trips can only raise the limit.
    const { requests } = receiver;
    const { trips } = await fleet.read();
    // The threshold, the attempts in flight at the trip (4 per worker), one per trial.
    expect(requests).toBeLessThanOrEqual(3 + 8 + trips);
    receiver.answer = (response) => response.writeHead(204).end();
    await until(async () => expect(await worker.queue.getCompletedCount()).toBe(20));
    const spent = (await worker.queue.getCompleted()).reduce((sum, job) => sum + job.attemptsMade, 0);
    expect(spent).toBe(receiver.requests);
    for (const id of ids) expect(new Set(receiver.of(id).map((one) => one.id)).size).toBe(1);
  });

  test('a slow one uses only its share of the slots', async () => {
    await kit.worker(client);
    const held: ServerResponse[] = [];
    receiver.answer = (response) => held.push(response);
    const quick = await startReceiver();
    stops.push(quick.stop);
    await Promise.all(Array.from({ length: 20 }, () => endedCall()));
    const { worker } = callbackWorker({ concurrency: 5 });
    worker.start();
    await until(() => expect(receiver.open).toBe(2));
    const id = await endedCall(`${quick.url}/hook`);
    await until(() => expect(quick.of(id)).toHaveLength(1));
    expect(receiver.mostOpen).toBe(2);
    receiver.answer = (response) => response.writeHead(204).end();
    for (const response of held) response.writeHead(204).end();
    await until(async () => expect(await worker.queue.getCompletedCount()).toBe(21));
  });

  test('a delivery that a stopping worker aborts is sent by another worker and not charged', async () => {
    await kit.worker(client);
    receiver.answer = () => {};
    const id = await endedCall();
    const { worker, stop } = callbackWorker();
    worker.start();
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    stop.abortAll();
    await worker.close();
    receiver.answer = (response) => response.writeHead(204).end();
    const next = callbackWorker({ workerId: 'callbacks-2' }).worker;
    next.start();
    await until(async () => expect(await next.queue.getCompletedCount()).toBe(1));
    const [job] = await next.queue.getCompleted();
    expect(job?.attemptsMade).toBe(1);
    expect(receiver.of(id)).toHaveLength(2);
  });
});

describe('addresses', () => {
  const port = () => new URL(receiver.url).port;
  const rebound = async () => [{ address: '127.0.0.1', family: 4 }];

  test('an allowed name that resolves to loopback gets no request', async () => {
    await kit.worker(client);
    await endedCall(`http://app.example:${port()}/hook`);
    const { worker } = callbackWorker({ allow: 'http://app.example', resolve: rebound, retryWaitsMs: [10] });
    worker.start();
    await until(async () =>
      expect((await worker.queue.getFailed())[0]?.failedReason).toBe('given_up: forbidden_address'),
    );
    expect(receiver.requests).toBe(0);
  });

  test('an allowed network gets the request; every connection resolves the name again', async () => {
    await kit.worker(client);
    const answers = [
      [
        { address: '93.184.216.34', family: 4 },
        { address: '10.0.0.1', family: 4 },
      ],
    ];
    let asked = 0;
    const resolve = async () => {
      asked += 1;
      return answers.shift()?.slice(1) ?? (await rebound());
    };
    const id = await endedCall(`http://app.example:${port()}/hook`);
    callbackWorker({ allow: 'http://app.example, 127.0.0.0/8', resolve }).worker.start();
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    expect(asked).toBe(2);
  });

  test('a host that was removed from the list gets no request', async () => {
    await kit.worker(client);
    await endedCall();
    const { worker } = callbackWorker({ allow: 'other.example' });
    worker.start();
    await until(async () =>
      expect((await worker.queue.getFailed())[0]?.failedReason).toMatch(/^forbidden: /),
    );
    expect(receiver.requests).toBe(0);
  });
});

/** Finished calls pushed to a receiver that checks them with the Standard Webhooks library. */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { visitInput } from '@recloser/local-stack/stack-api';
import { Redis } from 'ioredis';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack, until } from '../support/stack.ts';

const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;
const secrets = [newSecret(), newSecret()] as const;

type Event = { readonly type: string; readonly timestamp: string; readonly data: Record<string, unknown> };
type Delivery = {
  readonly id: string;
  readonly path: string;
  readonly answered: number;
  readonly event: Event;
  readonly headers: Record<string, string>;
  readonly text: string;
};

/** Takes what our signature proves to be ours, as an application would; `answer` says with which status. */
class Receiver {
  readonly deliveries: Delivery[] = [];
  readonly refused: string[] = [];
  answer: (path: string) => number = () => 204;
  headers: Record<string, string> = {};
  readonly #server = createServer((request, response) => {
    void this.#take(request).then((status) => response.writeHead(status, this.headers).end());
  });

  async start(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Nothing listens any more: a connection is refused. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  of(callId: unknown): Delivery[] {
    return this.deliveries.filter(({ event }) => event.data.id === callId);
  }

  async #take(request: IncomingMessage): Promise<number> {
    const text = (await request.toArray()).join('');
    const path = request.url ?? '';
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    try {
      // Either secret alone must do: that is what makes a rotation possible.
      const [event] = secrets.map((secret) => new Webhook(secret).verify(text, headers) as Event);
      if (!event) throw new Error('no secret');
      const answered = this.answer(path);
      this.deliveries.push({ id: headers['webhook-id'] ?? '', path, answered, event, headers, text });
      return answered;
    } catch (error) {
      this.refused.push(String(error));
      return 400;
    }
  }
}

const env = {
  CALLBACK_HOSTS: '127.0.0.1, https://hooks.example.com',
  CALLBACK_SECRETS: secrets.join(','),
  CALLBACK_RETRY_SECONDS: '1,1,1,1,1,1,1,1',
  CALLBACK_TIMEOUT_MS: '2000',
  CALLBACK_BREAKER_RESET_MS: '1500',
  // Walmart's test sign-in is of no use here.
  WORKER_UPSTREAMS: 'crossmark',
};

let running: TestStack;
let receiver: Receiver;
beforeAll(async () => {
  receiver = new Receiver();
  await receiver.start();
  running = await startTestStack({ env });
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await receiver.stop();
});

async function post(operation: string, input: unknown, path: string, options: object = {}): Promise<string> {
  const callback = { url: receiver.url(path) };
  const { status, body } = await running.api.post(`crossmark/${operation}`, {
    input,
    options: { ...options, callback },
  });
  expect(status, JSON.stringify(body)).toBe(202);
  return String(body.id);
}

async function shown(id: string): Promise<unknown> {
  return await (await fetch(`${running.stack.urls.web}/v1/calls/${id}`)).json();
}

describe('a callback', () => {
  test('says call.succeeded with the call as GET shows it, once, soon', async () => {
    const id = await post('schedule-event', visitInput(1), '/ok');
    const [delivery] = await until(() => {
      expect(receiver.of(id)).toHaveLength(1);
      return receiver.of(id);
    });
    const call = (await shown(id)) as Record<string, unknown>;
    expect(delivery?.event).toEqual({ type: 'call.succeeded', timestamp: call.finishedAt, data: call });
    expect(delivery?.headers['content-type']).toBe('application/json');
    expect(delivery?.id).toContain(id);
    expect(Date.parse(String(call.finishedAt))).toBeGreaterThan(Date.now() - 20_000);
  });

  test('says call.failed for a call that failed, and again when a person retried it', async () => {
    await running.api.faults([{ kind: 'not-ok', operation: 'schedule-event', times: 1 }]);
    const id = await post('schedule-event', visitInput(2), '/failed');
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    expect(receiver.of(id)[0]?.event).toMatchObject({ type: 'call.failed', data: { status: 'failed' } });
    const answer = await fetch(`${running.stack.urls.web}/v1/calls/${id}/retry`, { method: 'POST' });
    expect(answer.status, await answer.text()).toBeLessThan(300);
    await until(() => expect(receiver.of(id)).toHaveLength(2));
    expect(receiver.of(id)[1]?.event.type).toBe('call.succeeded');
    expect(receiver.of(id)[1]?.id).not.toBe(receiver.of(id)[0]?.id);
  });

  test('says call.expired, and call.cancelled for a call that no worker ever touched', async () => {
    const expired = await post(
      'list-qualified-reps',
      { mPlanId: '30000001', locationId: '150001' },
      '/expired',
      {
        runAt: new Date(Date.now() + 1_500).toISOString(),
        expiresAt: new Date(Date.now() + 1_501).toISOString(),
      },
    );
    const cancelled = await post('schedule-event', visitInput(3), '/cancelled', {
      runAt: new Date(Date.now() + 3_600_000).toISOString(),
    });
    const answer = await fetch(`${running.stack.urls.web}/v1/calls/${cancelled}`, { method: 'DELETE' });
    expect(answer.status, await answer.text()).toBeLessThan(300);
    await until(() => expect(receiver.of(cancelled)).toHaveLength(1));
    expect(receiver.of(cancelled)[0]?.event.type).toBe('call.cancelled');
    await until(() => expect(receiver.of(expired)).toHaveLength(1));
    expect(receiver.of(expired)[0]?.event.type).toBe('call.expired');
  });

  test('is repeated under the same id with the same body until it is taken', async () => {
    let turn = 0;
    receiver.answer = (path) => (path === '/flaky' ? ([500, 302, 429, 200][turn++] ?? 200) : 204);
    receiver.headers = { location: receiver.url('/elsewhere') };
    const id = await post('list-available-reps', roster, '/flaky');
    await until(() => expect(receiver.of(id)).toHaveLength(4));
    receiver.answer = () => 204;
    receiver.headers = {};
    const deliveries = receiver.of(id);
    expect(deliveries.map(({ answered }) => answered)).toEqual([500, 302, 429, 200]);
    expect(new Set(deliveries.map((delivery) => delivery.id)).size).toBe(1);
    expect(new Set(deliveries.map(({ text }) => text)).size).toBe(1);
    expect(deliveries.map(({ path }) => path)).not.toContain('/elsewhere');
    // The roster's names are the result, so they are told; what is kept meanwhile must not show them.
    expect(deliveries[0]?.event.data.result).toMatchObject({ reps: expect.any(Array) });
  });

  test('answered 410 is not sent again', async () => {
    receiver.answer = (path) => (path === '/gone' ? 410 : 204);
    const id = await post('schedule-event', visitInput(5), '/gone');
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    const later = await post('schedule-event', visitInput(6), '/after-gone');
    await until(() => expect(receiver.of(later)).toHaveLength(1));
    const job = await callbackJob(receiver.of(id)[0]?.id ?? '');
    expect(JSON.parse(job.returnvalue ?? '{}')).toEqual({ outcome: 'refused-for-good', status: 410 });
    expect(receiver.of(id)).toHaveLength(1);
    receiver.answer = () => 204;
  });
});

const roster = { start: '2027-01-04T00:00:00-05:00', end: '2027-01-11T00:00:00-05:00' };

async function callbackJob(id: string): Promise<Record<string, string>> {
  const redis = new Redis(running.stack.redisUrl);
  try {
    return await redis.hgetall(`recloser:{callbacks}:callbacks:${id}`);
  } finally {
    redis.disconnect();
  }
}

describe('an outage of the receiver', () => {
  test('is waited out: every callback arrives, under one id, none twice', async () => {
    const { port } = receiver;
    const before = receiver.deliveries.length;
    await receiver.stop();
    const ids = await Promise.all(
      Array.from({ length: 12 }, (_, n) => {
        const callback = { url: `http://127.0.0.1:${port}/outage` };
        return running.api
          .post('crossmark/schedule-event', { input: visitInput(20 + n), options: { callback } })
          .then(({ body }) => String(body.id));
      }),
    );
    for (const id of ids) expect((await running.api.call(id, 20)).status).toBe('succeeded');
    // Down until at least one attempt has failed and is remembered, sealed.
    const failed = await until(async () => {
      const redis = new Redis(running.stack.redisUrl);
      const jobs = await redis.keys('recloser:{callbacks}:callbacks:crossmark-*');
      const stored = (await Promise.all(jobs.map((key) => redis.hgetall(key)))).filter(({ data }) =>
        data?.includes('sealedBody'),
      );
      redis.disconnect();
      expect(stored.length).toBeGreaterThan(0);
      return stored;
    });
    for (const { data } of failed) expect(data).not.toContain('scheduleEventId');
    receiver = new Receiver();
    await receiver.start(port);
    await until(() => {
      for (const id of ids) expect(receiver.of(id)).toHaveLength(1);
    });
    expect(receiver.refused).toEqual([]);
    expect(before).toBeGreaterThan(0);
  }, 120_000);

  test('a worker killed right after its call ended still leads to one delivery', async () => {
    const { api, stack } = running;
    const ids: string[] = [];
    // Reads: a write whose worker died is looked up for a minute before it ends.
    for (let round = 0; round < 3; round += 1) {
      await api.faults([{ kind: 'latency', ms: 100 }]);
      ids.push(
        ...(await Promise.all(
          Array.from({ length: 15 }, (_, n) =>
            post('list-qualified-reps', { mPlanId: String(30_000_000 + n), locationId: '150001' }, '/killed'),
          ),
        )),
      );
      // In the middle of ending calls, with some ends announced, some not, some callbacks on their way.
      await until(async () => {
        const ended = (await api.calls(ids.slice(-15))).filter(({ status }) => status === 'succeeded');
        expect(ended.length).toBeGreaterThan(2);
      });
      await Promise.all([...stack.workers].map((worker) => stack.kill(worker)));
      await Promise.all([stack.addWorker(), stack.addWorker()]);
    }
    await api.faults([]);
    await until(() => {
      for (const id of ids) expect(receiver.of(id).length, id).toBeGreaterThan(0);
    }, 90_000);
    // A worker that dies between the answer and its note repeats a delivery, always under the same id.
    for (const id of ids) expect(new Set(receiver.of(id).map((delivery) => delivery.id)).size).toBe(1);
    expect(receiver.refused).toEqual([]);
  }, 180_000);
});

describe('intake', () => {
  const refusals: [string, unknown][] = [
    ['a host that is not listed', 'https://evil.example/hook'],
    ['a listed host over plain http', 'http://hooks.example.com/hook'],
    ['a private address', 'http://10.0.0.1/hook'],
    ['a loopback name that is not listed', 'http://localhost/hook'],
    ['loopback written otherwise', 'http://[::1]/hook'],
    ['the metadata service', 'http://169.254.169.254/latest'],
    ['a user name and password', 'https://a:b@hooks.example.com/'],
    ['another scheme', 'ftp://hooks.example.com/'],
    ['a name that only begins like a listed one', 'https://hooks.example.com.evil.example/'],
    ['no address', 'hello'],
    ['no text', 7],
    ['an address that is too long', `https://hooks.example.com/${'x'.repeat(3_000)}`],
  ];
  test.each(refusals)('refuses %s', async (_name, url) => {
    const { status, body } = await running.api.post('crossmark/schedule-event', {
      input: visitInput(9),
      options: { callback: { url } },
    });
    expect(status).toBe(422);
    expect(body.errors).toEqual([expect.objectContaining({ pointer: '/options/callback/url' })]);
  });

  test('refuses an unknown field beside the address', async () => {
    const { status, body } = await running.api.post('crossmark/schedule-event', {
      input: visitInput(9),
      options: { callback: { url: 'https://hooks.example.com/', secret: 'x' } },
    });
    expect(status).toBe(422);
    expect(body.errors).toEqual([expect.objectContaining({ pointer: '/options/callback/secret' })]);
  });
});

test('no secret is in a log', () => {
  const output = running.stack.output().join('\n');
  expect(output).toContain('http_204');
  for (const secret of secrets) {
    expect(output).not.toContain(secret);
    expect(output).not.toContain(secret.slice('whsec_'.length));
  }
});

/** Callbacks to a receiver that verifies them with the Standard Webhooks library. */
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { CallbackReceiver, newCallbackSecrets } from '../support/callback-receiver.ts';
import { startTestStack, type TestStack, until } from '../support/stack.ts';

const secrets = newCallbackSecrets();
const adminPassword = 'correct horse battery';

const env = {
  ADMIN_PASSWORD: adminPassword,
  CALLBACK_HOSTS: '127.0.0.1, https://hooks.example.com',
  CALLBACK_SECRETS: secrets.join(','),
  CALLBACK_RETRY_SECONDS: '1,1,1,1,1,1,1,1',
  // Requests held at the gate must not time out on a slow machine.
  CALLBACK_TIMEOUT_MS: '60000',
  CROSSMARK_TIMEOUT_MS: '60000',
  CALLBACK_BREAKER_RESET_MS: '1500',
  // These tests do not sign in to Walmart.
  WORKER_UPSTREAMS: 'crossmark',
};

let running: TestStack;
let receiver: CallbackReceiver;
beforeAll(async () => {
  receiver = await CallbackReceiver.start(secrets);
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
  test('is call.succeeded for a call that succeeded, with the call as GET returns it, once', async () => {
    const id = await post('schedule-event', visitInput(1), '/ok');
    const [delivery] = await until(() => {
      expect(receiver.of(id)).toHaveLength(1);
      return receiver.of(id);
    });
    const call = (await shown(id)) as Record<string, unknown>;
    expect(delivery?.event).toEqual({ type: 'call.succeeded', timestamp: call.finishedAt, data: call });
    expect(delivery?.headers['content-type']).toBe('application/json');
    expect(delivery?.id).toContain(id);
  });

  test('is call.failed for a call that failed, and again after a manual retry', async () => {
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

  test('is call.expired for a call that expired', async () => {
    const admin = await AdminApi.logIn(running.stack.urls.admin, 'admin', adminPassword);
    const act = (action: string) =>
      admin.post('/api/upstreams/crossmark/actions', { action, reason: 'a call is to wait' });
    expect((await act('hold')).status).toBe(200);
    // Repeated, because an `expiresAt` that has passed when the request is read is refused.
    const id = await until(() => {
      const expiresAt = new Date(Date.now() + 1_000).toISOString();
      return post('list-available-reps', roster, '/expired', { expiresAt });
    });
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    expect(receiver.of(id)[0]?.event.type).toBe('call.expired');
    expect((await act('release')).status).toBe(200);
  });

  test('is call.cancelled for a call that was cancelled before a worker fetched it', async () => {
    const id = await post('schedule-event', visitInput(3), '/cancelled', {
      runAt: new Date(Date.now() + 3_600_000).toISOString(),
    });
    const answer = await fetch(`${running.stack.urls.web}/v1/calls/${id}`, { method: 'DELETE' });
    expect(answer.status, await answer.text()).toBe(200);
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    expect(receiver.of(id)[0]?.event.type).toBe('call.cancelled');
  });

  test('is repeated with the same id and body until it is accepted', async () => {
    let turn = 0;
    receiver.answer = (path) => {
      if (path !== '/flaky') return 204;
      turn += 1;
      return [500, 302, 429][turn - 1] ?? 200;
    };
    receiver.headers = { location: receiver.url('/elsewhere') };
    const id = await post('list-available-reps', roster, '/flaky');
    await until(() => expect(receiver.of(id)).toHaveLength(4));
    receiver.answer = () => 204;
    receiver.headers = {};
    const deliveries = receiver.of(id);
    expect(new Set(deliveries.map((delivery) => delivery.id)).size).toBe(1);
    expect(new Set(deliveries.map(({ text }) => text)).size).toBe(1);
    expect(deliveries.map(({ path }) => path)).not.toContain('/elsewhere');
    // The result contains names, so the callback contains them. Redis must store them only encrypted.
    expect(deliveries[0]?.event.data.result).toMatchObject({ reps: expect.any(Array) });
  });

  test('answered with 410 is not repeated', async () => {
    receiver.answer = (path) => (path === '/gone' ? 410 : 204);
    const id = await post('schedule-event', visitInput(5), '/gone');
    await until(() => expect(receiver.of(id)).toHaveLength(1));
    const later = await post('schedule-event', visitInput(6), '/after-gone');
    await until(() => expect(receiver.of(later)).toHaveLength(1));
    await until(async () => {
      const job = await callbackJob(receiver.of(id)[0]?.id ?? '');
      expect(JSON.parse(job.returnvalue ?? '{}')).toEqual({ outcome: 'refused-for-good', status: 410 });
    });
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
  test('delays callbacks: each arrives once, under one id', async () => {
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
    for (const id of ids) expect((await running.api.call(id, 30)).status).toBe('succeeded');
    // Down until at least one delivery has failed and is stored, encrypted.
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
    receiver = await CallbackReceiver.start(secrets, port);
    await until(() => {
      for (const id of ids) expect(receiver.of(id)).toHaveLength(1);
    });
    expect(receiver.refused).toEqual([]);
    expect(before).toBeGreaterThan(0);
  });
});

test('workers killed during a delivery and during a call: both callbacks arrive, each under one id', async () => {
  const { api, stack } = running;
  // The first delivery arrives and gets no answer.
  const { promise: never } = Promise.withResolvers<number>();
  let unanswered = 0;
  receiver.answer = (path) => {
    if (path !== '/unanswered') return 204;
    unanswered += 1;
    return unanswered === 1 ? never : 204;
  };
  const delivered = await post('list-available-reps', roster, '/unanswered');
  await until(() => expect(unanswered).toBe(1));
  await api.faults([{ kind: 'hang', operation: 'list-qualified-reps', times: 1 }]);
  const reps = { mPlanId: '30000001', locationId: '150001' };
  const called = await post('list-qualified-reps', reps, '/orphaned');
  await until(async () => expect((await api.call(called)).status).toBe('running'));
  await Promise.all([...stack.workers].map((worker) => stack.kill(worker)));
  await stack.addWorker();
  await until(() => {
    expect(receiver.of(delivered)).toHaveLength(2);
    expect(receiver.of(called)).toHaveLength(1);
  });
  const [first, second] = receiver.of(delivered);
  expect([second?.id, second?.text]).toEqual([first?.id, first?.text]);
  expect(receiver.of(called)[0]?.event.type).toBe('call.succeeded');
  expect(receiver.refused).toEqual([]);
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

  test('refuses an unknown field beside the URL', async () => {
    const { status, body } = await running.api.post('crossmark/schedule-event', {
      input: visitInput(9),
      options: { callback: { url: 'https://hooks.example.com/', secret: 'x' } },
    });
    expect(status).toBe(422);
    expect(body.errors).toEqual([expect.objectContaining({ pointer: '/options/callback/secret' })]);
  });
});

test('no log contains a secret', () => {
  const output = running.stack.output().join('\n');
  expect(output).toContain('http_204');
  for (const secret of secrets) {
    expect(output).not.toContain(secret);
    expect(output).not.toContain(secret.slice('whsec_'.length));
  }
});

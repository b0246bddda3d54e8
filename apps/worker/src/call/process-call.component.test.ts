import { describe, expect, test } from 'vitest';
import { createKit, done, outcome, ScriptedClient } from '../../test-kit/kit.ts';
import { defaultTimings } from '../queue/timings.ts';
import { snooze } from './judge-attempt.ts';
import type { Call } from './work-context.ts';

describe('what each outcome does to a call', () => {
  test('done: succeeded with its result, one attempt', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    await kit.worker(client);
    const id = await kit.post('read', {}, { a: '1' });
    const call = await kit.until(id, 'succeeded');
    expect(call.result).toEqual({ ok: true });
    expect(call.attempts).toEqual({ made: 1, max: 3, deferrals: 0, stalls: 0 });
    expect(call.history).toMatchObject([{ outcome: 'done', status: 200, worker: 'w1' }]);
    expect(client.inputs).toEqual([{ a: '1' }]);
  });

  test('personal input and results are encrypted in Redis and decrypted for the client and the reader', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => ({ kind: 'done', health: 'up', result: { name: 'Ada Private' } });
    await kit.worker(client);
    const id = await kit.post('secret', {}, { note: 'call Ada Private' });
    const call = await kit.until(id, 'succeeded');
    expect(call.result).toEqual({ name: 'Ada Private' });
    expect(client.inputs).toEqual([{ note: 'call Ada Private' }]);
    const stored = JSON.stringify(await kit.redis.hgetall(kit.queue.toKey(id)));
    expect(stored).not.toContain('Ada');
    expect(kit.lines.join('')).not.toContain('Ada');
  });

  test('retry: charged, made again after the backoff, both in the history', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => (client.asked.length < 2 ? outcome('retry', { status: 500 }) : done);
    await kit.worker(client);
    const call = await kit.until(await kit.post('read'), 'succeeded');
    expect(call.attempts.made).toBe(2);
    expect(call.history.map((entry) => entry.outcome)).toEqual(['retry', 'done']);
  });

  test('retry to the last attempt: failed, with the last reason', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => outcome('retry', { status: 503 });
    await kit.worker(client);
    const call = await kit.until(await kit.post('read'), 'failed');
    expect(call.attempts.made).toBe(3);
    expect(client.asked).toHaveLength(3);
    expect(call.error).toEqual({ code: 'retry_code', message: 'It said retry.', status: 503 });
    expect(call.history).toHaveLength(3);
  });

  test('reject: failed at once', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => outcome('reject', { status: 400 });
    await kit.worker(client);
    const call = await kit.until(await kit.post('read'), 'failed');
    expect(call.attempts.made).toBe(1);
    expect(call.error).toMatchObject({ code: 'reject_code', status: 400 });
  });

  test('snooze for a rate limit: hold set, nothing charged, made after the hold', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () =>
      client.asked.length > 1
        ? done
        : {
            kind: 'snooze',
            health: 'unknown',
            code: 'rate_limited',
            message: 'Too many requests.',
            status: 429,
            hold: { kind: 'rate-limit', delayMs: 60_000, reason: 'asked to wait' },
          };
    await kit.worker(client);
    const id = await kit.post('read');
    const held = await kit.until(id, 'deferred');
    expect(held.holds).toMatchObject([{ kind: 'rate-limit', owner: 'w1', reason: 'asked to wait' }]);
    await kit.holds.release('rate-limit', { owner: 'test', reason: 'its end' });
    const call = await kit.until(id, 'succeeded');
    expect(call.attempts).toMatchObject({ made: 1, deferrals: 1 });
    expect(call.history.map((entry) => entry.outcome)).toEqual(['snooze', 'done']);
  });

  test('a fault of this machine: not charged, no hold, and the worker is set aside if it persists', async () => {
    await using kit = await createKit({ breaker: { failMax: 3, resetMs: 60_000 } });
    const sick = new ScriptedClient();
    sick.onRun = async () => ({
      kind: 'snooze',
      health: 'unknown',
      code: 'local_network',
      message: 'No descriptors.',
      hold: null,
    });
    const { breaker } = await kit.worker(sick);
    const ids = await Promise.all(Array.from({ length: 12 }, () => kit.post('read')));
    await expect.poll(() => sick.asked.length, { timeout: 20_000 }).toBeGreaterThan(12);
    expect((await breaker.fleet.snapshot()).aside).toEqual([]);
    // With a second worker in the fleet, the faulty one is set aside.
    const setAside = Promise.withResolvers<void>();
    const healthy = new ScriptedClient();
    healthy.onRun = async () => {
      await setAside.promise;
      return done;
    };
    await kit.worker(healthy);
    await expect
      .poll(async () => (await breaker.fleet.snapshot()).aside, { timeout: 20_000 })
      .toEqual(['w1']);
    setAside.resolve();
    for (const id of ids) expect((await kit.until(id, 'succeeded')).attempts.made).toBe(1);
    expect((await breaker.fleet.read()).consecutiveFailures).toBe(0);
    expect(await kit.holds.list()).toEqual([]);
  });

  test.each([
    [1, 1_000, 1_100],
    [9e9, 600_000, 660_000],
    [Number.NaN, 1_000, 1_100],
  ])('a rate limit of %d ms is clamped', (delayMs, least, most) => {
    const requested = { kind: 'rate-limit', delayMs, reason: 'asked to wait' } as const;
    const judgement = snooze({ timings: defaultTimings }, {} as Call['envelope'], requested);
    const forMs = judgement.kind === 'give-back' ? judgement.hold?.forMs : undefined;
    expect(forMs).toBeGreaterThanOrEqual(least);
    expect(forMs).toBeLessThanOrEqual(most);
  });

  test('snooze for a sign-in that has happened since: no hold, made again', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.currentSession = async () => 'new';
    client.onRun = async () =>
      client.asked.length > 1
        ? done
        : {
            kind: 'snooze',
            health: 'unknown',
            code: 'signed_out',
            message: 'A person must sign in.',
            hold: { kind: 'sign-in', reason: 'signed out', session: 'old' },
          };
    await kit.worker(client);
    const call = await kit.until(await kit.post('read'), 'succeeded');
    expect(call.attempts).toMatchObject({ made: 1, deferrals: 1 });
    expect(await kit.holds.list()).toEqual([]);
  });

  test.each([
    ['the same session', 'old', 'old'],
    ['no session', 'old', null],
    ['none before and none now', undefined, null],
  ])('snooze for a sign-in with %s: held', async (_what, session, current) => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    const asked = Promise.withResolvers<void>();
    client.currentSession = async () => {
      asked.resolve();
      return current;
    };
    client.onRun = async () => ({
      kind: 'snooze',
      health: 'unknown',
      code: 'signed_out',
      message: 'A person must sign in.',
      hold: { kind: 'sign-in', reason: 'signed out', session },
    });
    await kit.worker(client);
    const id = await kit.post('read');
    await asked.promise;
    const call = await kit.until(id, 'deferred');
    expect(call.attempts).toMatchObject({ made: 0, deferrals: 1 });
    expect(call.holds).toMatchObject([{ kind: 'sign-in', until: null }]);
    expect(client.asked).toHaveLength(1);
  });

  test('snooze for a sign-in: held without an end, nothing charged', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => ({
      kind: 'snooze',
      health: 'unknown',
      code: 'signed_out',
      message: 'A person must sign in.',
      hold: { kind: 'sign-in', reason: 'signed out' },
    });
    await kit.worker(client);
    const id = await kit.post('read');
    const call = await kit.until(id, 'deferred');
    expect(call.holds).toMatchObject([{ kind: 'sign-in', until: null }]);
    expect(call.attempts.made).toBe(0);
    expect(await kit.queue.isPaused()).toBe(true);
  });
});

describe('a call that is not made', () => {
  test('past expiresAt: expired without an attempt', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    const id = await kit.post('read', { expiresAt: new Date(Date.now() - 1_000).toISOString() });
    await kit.worker(client);
    const call = await kit.until(id, 'expired');
    expect(client.asked).toEqual([]);
    expect(call.attempts.made).toBe(0);
    expect(call.error?.code).toBe('expired');
  });

  test('a job that is not a call: failed with a code', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    const broken = await kit.queue.add('read', { nonsense: true }, { jobId: 'testing-broken' });
    await kit.worker(client);
    await expect
      .poll(async () => (await kit.queue.getJob(broken.id ?? ''))?.data)
      .toMatchObject({
        nonsense: true,
        settled: { status: 'failed', code: 'envelope_invalid' },
      });
    expect(client.asked).toEqual([]);
  });

  test('an exception of the client: charged as worker_error', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => {
      throw new Error('secret detail');
    };
    await kit.worker(client);
    const call = await kit.until(await kit.post('read'), 'failed');
    expect(call.error?.code).toBe('worker_error');
    expect(call.attempts.made).toBe(3);
    expect(JSON.stringify(call)).not.toContain('secret detail');
  });

  test('a Redis failure in the client: not charged', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => {
      if (client.asked.length > 5) return done;
      throw new Error('Command timed out');
    };
    await kit.worker(client);
    const call = await kit.until(await kit.post('read'), 'succeeded');
    expect(call.attempts).toMatchObject({ made: 1, deferrals: 5 });
  });
});

describe('a retry by a person', () => {
  test('runs a failed call again', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async () => (client.asked.length > 1 ? done : outcome('reject'));
    await kit.worker(client);
    const id = await kit.post('read');
    await kit.until(id, 'failed');
    await (await kit.queue.getJob(id))?.retry('failed', { resetAttemptsMade: true });
    const call = await kit.until(id, 'succeeded');
    expect(call.attempts.made).toBe(1);
    expect(call.error).toBeNull();
  });

  test('does not send a call in doubt again', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async (_operation, _input, context) => {
      await context.onSending();
      return outcome('in_doubt');
    };
    await kit.worker(client);
    const id = await kit.post('notify');
    await kit.until(id, 'in_doubt');
    await (await kit.queue.getJob(id))?.retry('failed');
    await expect.poll(async () => (await kit.queue.getJob(id))?.attemptsStarted).toBe(2);
    await kit.until(id, 'in_doubt');
    expect(client.asked).toEqual(['notify']);
    expect(await kit.redis.zscore(`${kit.root}:in-doubt`, id)).not.toBeNull();
  });
});

import { readLateAnswers } from '@recloser/calls/write/late-answers';
import type { AttemptContext, Outcome } from '@recloser/upstreams/contract/upstream';
import { describe, expect, test } from 'vitest';
import { createKit, done, type Kit, outcome, ScriptedClient } from '../../test-kit/kit.ts';

/** Sends the request and gets no answer. */
const sendsIntoDoubt = async (
  _operation: string,
  _input: unknown,
  context: AttemptContext,
): Promise<Outcome> => {
  await context.onSending();
  return { kind: 'in_doubt', health: 'down', code: 'no_answer', message: 'No answer came.' };
};

async function doubtful(kit: Kit): Promise<ScriptedClient> {
  const client = new ScriptedClient();
  client.onRun = sendsIntoDoubt;
  await kit.worker(client);
  return client;
}

describe('an ambiguous write', () => {
  test('proved applied: succeeded with the verified result, the attempt charged once', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onVerify = async () => ({ kind: 'applied', health: 'up', result: { id: '77' } });
    const call = await kit.until(await kit.post('write'), 'succeeded');
    expect(call.result).toEqual({ id: '77' });
    expect(call.attempts.made).toBe(1);
    expect(client.asked).toEqual(['write', 'verify write']);
    expect(call.history.map(({ outcome, code }) => [outcome, code])).toEqual([
      ['in_doubt', 'no_answer'],
      ['done', 'read_back_applied'],
    ]);
  });

  test('shown late by the upstream: the second read finds it', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onVerify = async () =>
      client.asked.length < 3
        ? { kind: 'absent', health: 'up' }
        : { kind: 'applied', health: 'up', result: {} };
    const call = await kit.until(await kit.post('write'), 'succeeded');
    expect(client.asked).toEqual(['write', 'verify write', 'verify write']);
    expect(call.attempts.made).toBe(1);
  });

  test('whose request the upstream had finished: two reads prove it absent', async () => {
    await using kit = await createKit({ timings: { readBackWaitsMs: [10, 20, 600_000] } });
    const client = new ScriptedClient();
    client.onRun = async (...args) => ({ ...(await sendsIntoDoubt(...args)), ended: true }) as Outcome;
    client.onVerify = async () => {
      client.onRun = async () => done;
      return { kind: 'absent', health: 'up' };
    };
    await kit.worker(client);
    await kit.until(await kit.post('write'), 'succeeded');
    expect(client.asked).toEqual(['write', 'verify write', 'verify write', 'verify write', 'write']);
  });

  test('is not proved by an id that another call was credited with', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    // The list shows one visit, which the first call created.
    client.onVerify = async (_operation, _input, { claim }) =>
      (await claim?.('44'))
        ? { kind: 'applied', health: 'up', result: { madeId: '44' } }
        : {
            kind: 'unprovable',
            health: 'up',
            code: 'visit_of_another_call',
            message: 'Another call has it.',
          };
    client.onRun = async () => ({ kind: 'done', health: 'up', result: { madeId: '44' } });
    await kit.worker(client);
    await kit.until(await kit.post('write'), 'succeeded');
    client.onRun = sendsIntoDoubt;
    const repeats = [await kit.post('write'), await kit.post('write'), await kit.post('write')];
    for (const id of repeats)
      expect((await kit.until(id, 'in_doubt')).error?.code).toBe('visit_of_another_call');
  });

  test('of several calls, one read-back claims the id, and a redelivery of that call keeps the claim', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    const claimed: boolean[] = [];
    client.onVerify = async (_operation, _input, { claim }) => {
      const mine = (await claim?.('44')) === true;
      claimed.push(mine);
      // The worker claims the id and then fails once before it settles the call.
      if (mine && claimed.filter(Boolean).length === 1) throw new Error('an error of our own');
      return mine
        ? { kind: 'applied', health: 'up', result: { madeId: '44' } }
        : {
            kind: 'unprovable',
            health: 'up',
            code: 'visit_of_another_call',
            message: 'Another call has it.',
          };
    };
    const ids = await Promise.all(Array.from({ length: 4 }, () => kit.post('write')));
    await expect
      .poll(
        async () => {
          const calls = await Promise.all(ids.map((id) => kit.view(id)));
          return calls.map(({ status }) => status).sort();
        },
        { timeout: 20_000 },
      )
      .toEqual(['in_doubt', 'in_doubt', 'in_doubt', 'succeeded']);
    expect(claimed.filter(Boolean)).toHaveLength(2);
  });

  test('proved absent by the last read: charged once and made again', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onVerify = async () => {
      client.onRun = async () => done;
      return { kind: 'absent', health: 'up' };
    };
    const call = await kit.until(await kit.post('write'), 'succeeded');
    expect(client.asked).toEqual([
      'write',
      'verify write',
      'verify write',
      'verify write',
      'verify write',
      'write',
    ]);
    expect(call.attempts.made).toBe(2);
  });

  test('applied after the last read: found right before it would be sent again', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    const reads = () => client.asked.filter((what) => what === 'verify write').length;
    client.onVerify = async () =>
      reads() <= 3
        ? { kind: 'absent', health: 'up' }
        : { kind: 'applied', health: 'up', result: { id: '77' } };
    const call = await kit.until(await kit.post('write'), 'succeeded');
    expect(call.result).toEqual({ id: '77' });
    expect(client.asked.filter((what) => what === 'write')).toHaveLength(1);
  });

  test('is not sent again while the last read fails, nor if nothing can be proved', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    const reads = () => client.asked.filter((what) => what === 'verify write').length;
    client.onVerify = async () => {
      if (reads() <= 3) return { kind: 'absent', health: 'up' };
      if (reads() <= 6) return { kind: 'unreadable', outcome: outcome('retry', { status: 500 }) };
      return {
        kind: 'unprovable',
        health: 'up',
        code: 'other_booking',
        message: 'Another one stands there.',
      };
    };
    const call = await kit.until(await kit.post('write'), 'in_doubt');
    expect(call.error?.code).toBe('other_booking');
    expect(client.asked.filter((what) => what === 'write')).toHaveLength(1);
  });

  test('absent every time: failed after the last attempt, not in doubt', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    const call = await kit.until(await kit.post('write', { maxAttempts: 2 }), 'failed');
    expect(client.asked.filter((what) => what === 'write')).toHaveLength(2);
    expect(call.attempts.made).toBe(2);
    expect(call.error?.code).toBe('no_answer');
    expect(await kit.redis.zcard(`${kit.root}:in-doubt`)).toBe(0);
  });

  test('unprovable: in doubt, on the list for a person, one attempt', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onVerify = async () => ({
      kind: 'unprovable',
      health: 'up',
      code: 'other_booking',
      message: 'Another booking stands there.',
    });
    const id = await kit.post('write');
    const call = await kit.until(id, 'in_doubt');
    expect(call.attempts.made).toBe(1);
    expect(call.error?.code).toBe('other_booking');
    expect(await kit.redis.zscore(`${kit.root}:in-doubt`, id)).not.toBeNull();
  });

  test('of an operation without read-back: in doubt at once', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    const call = await kit.until(await kit.post('notify'), 'in_doubt');
    expect(client.asked).toEqual(['notify']);
    expect(call.attempts.made).toBe(1);
    expect(call.error?.code).toBe('no_answer');
  });

  test('of an idempotent operation without read-back: made again', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onRun = async (...attempt) => (client.asked.length > 1 ? done : sendsIntoDoubt(...attempt));
    const call = await kit.until(await kit.post('remove'), 'succeeded');
    expect(client.asked).toEqual(['remove', 'remove']);
    expect(call.attempts.made).toBe(2);
  });

  test('unreadable for a while: read again, not charged', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onVerify = async () =>
      client.asked.length < 5
        ? { kind: 'unreadable', outcome: outcome('retry', { status: 503 }) }
        : { kind: 'applied', health: 'up', result: {} };
    const call = await kit.until(await kit.post('write'), 'succeeded');
    expect(call.attempts.made).toBe(1);
    expect(client.asked.filter((what) => what === 'write')).toHaveLength(1);
  });

  test('unreadable every time: a person decides', async () => {
    await using kit = await createKit({ timings: { unreadableLimit: 3 } });
    const client = await doubtful(kit);
    client.onVerify = async () => ({ kind: 'unreadable', outcome: outcome('retry') });
    const call = await kit.until(await kit.post('write'), 'in_doubt');
    expect(client.asked).toHaveLength(4);
    expect(call.error?.code).toBe('read_back_failed');
  });

  test('a read that is snoozed sets the hold and keeps the mark', async () => {
    await using kit = await createKit();
    const client = await doubtful(kit);
    client.onVerify = async () => ({
      kind: 'unreadable',
      outcome: {
        kind: 'snooze',
        health: 'unknown',
        code: 'signed_out',
        message: '',
        hold: { kind: 'sign-in', reason: 'signed out' },
      },
    });
    const id = await kit.post('write');
    await expect.poll(async () => (await kit.holds.list()).map(({ kind }) => kind)).toEqual(['sign-in']);
    await expect.poll(async () => (await kit.view(id)).status).toBe('deferred');
    expect((await kit.queue.getJob(id))?.data).toMatchObject({ sending: { worker: 'w1' } });
    expect((await kit.view(id)).attempts.made).toBe(0);
  });

  test('past expiresAt: still read back, not settled as expired', async () => {
    await using kit = await createKit();
    const id = await kit.post('write', { expiresAt: new Date(Date.now() - 1_000).toISOString() });
    const job = await kit.queue.getJob(id);
    await job?.updateData({ ...job.data, sending: { at: job.data.createdAt, worker: 'w0' } });
    const client = await doubtful(kit);
    client.onVerify = async () => ({ kind: 'applied', health: 'up', result: {} });
    await kit.until(id, 'succeeded');
    expect(client.asked).toEqual(['verify write']);
  });
});

describe('the sending mark', () => {
  test('is in Redis before anything is sent', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    let marked: unknown;
    client.onRun = async (_operation, _input, context) => {
      await context.onSending();
      const [job] = await kit.queue.getActive();
      marked = job?.data.sending;
      return done;
    };
    await kit.worker(client);
    await kit.until(await kit.post('write'), 'succeeded');
    expect(marked).toMatchObject({ worker: 'w1' });
  });

  test('is removed after a definite outcome', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = async (_operation, _input, context) => {
      await context.onSending();
      return outcome('reject');
    };
    await kit.worker(client);
    const id = await kit.post('write');
    await kit.until(id, 'failed');
    expect((await kit.queue.getJob(id))?.data.sending).toBeUndefined();
  });

  test('left by a worker that died leads to a read-back, not to a second write', async () => {
    await using kit = await createKit();
    const id = await kit.post('write');
    const job = await kit.queue.getJob(id);
    await job?.updateData({ ...job.data, sending: { at: new Date().toISOString(), worker: 'dead' } });
    const client = new ScriptedClient();
    client.onVerify = async () => ({ kind: 'applied', health: 'up', result: { id: '1' } });
    await kit.worker(client);
    await kit.until(id, 'succeeded');
    expect(client.asked).toEqual(['verify write']);
  });

  test('cannot be stored without the lock: a worker that lost the call sends nothing', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    let sent = 0;
    client.onRun = async (_operation, _input, context) => {
      const [job] = await kit.queue.getActive();
      if (client.asked.length === 1) await kit.redis.set(`${kit.queue.toKey(job?.id ?? '')}:lock`, 'another');
      await context.onSending();
      sent += 1;
      return done;
    };
    await kit.worker(client);
    const id = await kit.post('write');
    await expect.poll(() => client.asked.length).toBe(1);
    await expect.poll(() => kit.lines.join('')).toContain('Lock mismatch');
    expect(sent).toBe(0);
    expect((await kit.queue.getJob(id))?.data.sending).toBeUndefined();
    await kit.redis.del(`${kit.queue.toKey(id)}:lock`);
    await kit.until(id, 'succeeded');
    expect(sent).toBe(1);
  });

  test('is valid as long as the lock: a worker that freezes after storing it must not send', async () => {
    await using kit = await createKit({ timings: { lockMs: 5_000 } });
    const client = new ScriptedClient();
    const seen: number[] = [];
    client.onRun = async (_operation, _input, context) => {
      const sendBy = () => context.sendBy?.() ?? Number.NaN;
      seen.push(sendBy(), performance.now());
      await context.onSending();
      seen.push(sendBy(), performance.now());
      return done;
    };
    await kit.worker(client);
    await kit.until(await kit.post('write'), 'succeeded');
    const [unmarked, askedAt = 0, sendBy, storedAt = 0] = seen;
    expect(unmarked).toBe(Number.POSITIVE_INFINITY);
    expect(sendBy).toBeGreaterThanOrEqual(askedAt + 5_000);
    expect(sendBy).toBeLessThanOrEqual(storedAt + 5_000);
  });
});

describe('a late answer', () => {
  test.each(['done', 'reject'] as const)('%s: is stored and does not change the call', async (kind) => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    const released = Promise.withResolvers<void>();
    client.onRun = async (_operation, _input, context) => {
      await context.onSending();
      const [job] = await kit.queue.getActive();
      await kit.redis.set(`${kit.queue.toKey(job?.id ?? '')}:lock`, 'another');
      released.resolve();
      return kind === 'done' ? done : outcome('reject');
    };
    client.onVerify = async () => ({ kind: 'applied', health: 'up', result: { id: '77' } });
    await kit.worker(client);
    const id = await kit.post('write');
    await released.promise;
    const late = () => readLateAnswers(kit.redis, kit.root, new Set([id]));
    await expect.poll(late).toHaveLength(1);
    const seen = { callId: id, worker: 'w1', outcome: kind };
    expect((await late())[0]).toMatchObject(kind === 'done' ? { ...seen, result: { ok: true } } : seen);
    expect((await kit.view(id)).status).toBe('running');
    await kit.redis.del(`${kit.queue.toKey(id)}:lock`);
    const call = await kit.until(id, 'succeeded');
    expect(call.result).toEqual({ id: '77' });
    expect(client.asked).toEqual(['write', 'verify write']);
  });
});

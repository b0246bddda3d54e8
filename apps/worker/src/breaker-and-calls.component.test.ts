import { describe, expect, test } from 'vitest';
import { createKit, done, outcome, ScriptedClient, until } from '../test-kit/kit.ts';
import { judgeAttempt } from './call/judge-attempt.ts';
import type { Call } from './call/work-context.ts';
import { defaultTimings } from './queue/timings.ts';

describe('with the real breaker', () => {
  test('an outage opens it, calls wait unspent, and all succeed afterwards', async () => {
    await using kit = await createKit({ breaker: { failMax: 3, resetMs: 50 } });
    const client = new ScriptedClient();
    let down = true;
    client.onRun = async () => (down ? { ...outcome('retry'), health: 'down' as const } : done);
    const { breaker } = await kit.worker(client);
    const ids = await Promise.all(Array.from({ length: 20 }, () => kit.post('read', { maxAttempts: 100 })));
    await until(async () => expect((await breaker.fleet.read()).trips).toBeGreaterThanOrEqual(2));
    // The requests first: what comes after them can only add to the trips.
    const during = client.asked.length;
    const { trips } = await breaker.fleet.read();
    // Threshold, those in flight at the trip, one for each trial.
    expect(during).toBeLessThanOrEqual(3 + 5 + trips);
    await kit.until(ids[19] as string, 'deferred');
    down = false;
    let requests = 0;
    for (const id of ids) {
      const call = await kit.until(id, 'succeeded');
      const { trials } = ((await kit.queue.getJob(id))?.data ?? {}) as { trials: number };
      // Every exchange is in the history, and only free trials were not charged.
      expect(call.history).toHaveLength(call.attempts.made + trials);
      requests += call.history.length;
    }
    expect(client.asked).toHaveLength(requests);
  });

  test('an operator hold defers calls and costs them nothing', async () => {
    await using kit = await createKit();
    await kit.holds.set({ kind: 'operator', owner: 'ada', reason: 'maintenance' });
    await kit.worker(new ScriptedClient());
    const id = await kit.post('read');
    expect((await kit.until(id, 'deferred')).holds).toMatchObject([{ kind: 'operator' }]);
    await kit.holds.release('operator', { owner: 'ada', reason: 'done' });
    expect((await kit.until(id, 'succeeded')).attempts).toMatchObject({ made: 1, deferrals: 0 });
  });
});

describe('a trial without a passed probe', () => {
  const judge = (trials: number, permit: { trial: boolean; proven: boolean }) => {
    const envelope = { trials, history: [], deferrals: 0 } as unknown as Call['envelope'];
    const call = { id: 'x', envelope, operation: { name: 'read' } } as unknown as Call;
    const answer = { kind: 'retry', health: 'down', code: 'c', message: 'm' } as const;
    return judgeAttempt(
      { workerId: 'w', client: new ScriptedClient(), timings: defaultTimings },
      call,
      { generation: 1, ...permit },
      { kind: 'answered', answer, envelope, at: new Date().toISOString(), durationMs: 1 },
    );
  };

  test('is free three times, stepping further behind, then charged', () => {
    for (const trials of [0, 1, 2]) {
      const judgement = judge(trials, { trial: true, proven: false });
      expect(judgement).toMatchObject({ kind: 'give-back', why: 'trial', envelope: { trials: trials + 1 } });
    }
    expect(judge(3, { trial: true, proven: false }).kind).toBe('charge');
  });

  test('only when unproven: after a passed probe, or outside a trial, a failure is charged', () => {
    expect(judge(0, { trial: true, proven: true }).kind).toBe('charge');
    expect(judge(0, { trial: false, proven: false }).kind).toBe('charge');
  });
});

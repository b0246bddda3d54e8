import { describe, expect, test } from 'vitest';
import { createKit, done, outcome, ScriptedClient, until } from '../test-kit/kit.ts';
import { judgeAttempt } from './call/judge-attempt.ts';
import type { Call } from './call/work-context.ts';
import { defaultTimings } from './queue/timings.ts';

describe('with the real breaker', () => {
  test('an outage opens it, calls wait without spending attempts, and all succeed afterwards', async () => {
    await using kit = await createKit({ breaker: { failMax: 3, resetMs: 50 } });
    const client = new ScriptedClient();
    let down = true;
    client.onRun = async () => (down ? { ...outcome('retry'), health: 'down' as const } : done);
    const { breaker } = await kit.worker(client);
    const ids = await Promise.all(Array.from({ length: 20 }, () => kit.post('read', { maxAttempts: 100 })));
    await until(async () => expect((await breaker.fleet.read()).trips).toBeGreaterThanOrEqual(2));
    // Count the requests first, so that later trips can only raise the limit.
    const during = client.asked.length;
    const { trips } = await breaker.fleet.read();
    // The threshold, the attempts in flight at the trip, one per trial.
    expect(during).toBeLessThanOrEqual(3 + 5 + trips);
    await kit.until(ids[19] as string, 'deferred');
    down = false;
    let requests = 0;
    for (const id of ids) {
      const call = await kit.until(id, 'succeeded');
      const { trials } = ((await kit.queue.getJob(id))?.data ?? {}) as { trials: number };
      // Every attempt is in the history. Only free trials were not charged.
      expect(call.history).toHaveLength(call.attempts.made + trials);
      requests += call.history.length;
    }
    expect(client.asked).toHaveLength(requests);
  });

  test('an operator hold defers calls without charging them', async () => {
    await using kit = await createKit();
    await kit.holds.set({ kind: 'operator', owner: 'ada', reason: 'maintenance' });
    await kit.worker(new ScriptedClient());
    const id = await kit.post('read');
    expect((await kit.until(id, 'deferred')).holds).toMatchObject([{ kind: 'operator' }]);
    await kit.holds.release('operator', { owner: 'ada', reason: 'done' });
    expect((await kit.until(id, 'succeeded')).attempts).toMatchObject({ made: 1, deferrals: 0 });
  });
});

describe('a failed trial', () => {
  const judge = (trials: number, permit: { trial: boolean; proven: boolean }) => {
    const envelope = { trials, history: [], deferrals: 0 } as unknown as Call['envelope'];
    const call = { id: 'x', envelope, operation: { name: 'read' } } as unknown as Call;
    const answer = { kind: 'retry', health: 'down', code: 'c', message: 'm' } as const;
    return judgeAttempt(
      { workerId: 'w', client: new ScriptedClient(), timings: defaultTimings },
      call,
      permit,
      { kind: 'answered', answer, envelope, at: new Date().toISOString(), durationMs: 1 },
    );
  };

  test('is free three times if no probe passed, then charged', () => {
    for (const trials of [0, 1, 2]) {
      const judgement = judge(trials, { trial: true, proven: false });
      expect(judgement).toMatchObject({ kind: 'give-back', why: 'trial', envelope: { trials: trials + 1 } });
    }
    expect(judge(3, { trial: true, proven: false }).kind).toBe('charge');
  });

  test('is charged after a passed probe, and so is a failure outside a trial', () => {
    expect(judge(0, { trial: true, proven: true }).kind).toBe('charge');
    expect(judge(0, { trial: false, proven: false }).kind).toBe('charge');
  });
});

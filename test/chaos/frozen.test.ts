import { expect, test } from 'vitest';
import { allEnded, postVisits, startTestStack, until } from '../support/stack.ts';

test('a worker frozen past its lock resumes: other workers made its calls, and nothing is booked twice', async () => {
  await using running = await startTestStack({
    workers: 2,
    env: { WORKER_CONCURRENCY: '5', CROSSMARK_TIMEOUT_MS: '60000' },
  });
  const { api, stack } = running;
  // Both workers are busy until the fault is lifted.
  await api.faults([{ kind: 'latency', ms: 3_000 }]);
  const ids = await postVisits(api, 60);
  await until(async () => expect((await api.upstream()).queue.active).toBe(10));
  const [frozen] = stack.workers;
  if (!frozen) throw new Error('no worker lives');
  frozen.signal('SIGSTOP');
  await api.faults([]);
  const ends = await allEnded(api, ids);
  expect(ends).toEqual({ succeeded: 60 });
  const stalled = (await api.calls(ids)).filter(({ attempts }) => attempts.stalls > 0);
  expect(stalled.length).toBeGreaterThan(0);
  frozen.signal('SIGCONT');
  await until(async () => expect((await api.upstream()).workers).toBe(2));
  // It makes new calls again.
  expect(await allEnded(api, await postVisits(api, 20, 60))).toEqual({ succeeded: 20 });
  const { visitsByItem } = await api.ledger();
  expect(Object.keys(visitsByItem)).toHaveLength(80);
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
  expect((await api.calls(ids)).every(({ status }) => status === 'succeeded')).toBe(true);
});

import { describe, expect, inject, it } from 'vitest';
import { problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');

describe('GET /v1/upstreams', () => {
  it('returns exactly the documented fields', async () => {
    await using web = await startWeb({ redisUrl });
    await web.post('/v1/calls/crossmark/schedule-event', { input: visit });
    await web.holds().set({ kind: 'operator', owner: 'ann', reason: 'maintenance' });
    const all = await (await web.get('/v1/upstreams')).json();
    expect(all).toMatchObject({ upstreams: [{ name: 'crossmark' }, { name: 'walmart-edr' }] });
    const one = await (await web.get('/v1/upstreams/crossmark')).json();
    expect(one).toEqual({
      name: 'crossmark',
      breaker: {
        state: 'closed',
        since: expect.toSatisfy((value) => value === null || !Number.isNaN(Date.parse(value))),
        generation: 0,
        retryAt: null,
        consecutiveFailures: 0,
        reason: null,
        permits: null,
      },
      holds: [
        { kind: 'operator', owner: 'ann', reason: 'maintenance', since: expect.any(String), until: null },
      ],
      queue: {
        waiting: 1,
        delayed: 0,
        overdue: 0,
        active: 0,
        failed: 0,
        inDoubt: 0,
        oldestWaitingSeconds: expect.any(Number),
      },
      workers: 0,
      setAside: 0,
    });
  });

  it('answers 404 for an unknown upstream', async () => {
    await using web = await startWeb({ redisUrl });
    const response = await web.get('/v1/upstreams/nope');
    expect({ status: response.status, code: (await problemOf(response)).code }).toEqual({
      status: 404,
      code: 'unknown_upstream',
    });
  });
});

import { describe, expect, inject, test } from 'vitest';
import { postJson, startAdmin } from '../../test-kit/start-admin.ts';
import { parseAction } from './actions.ts';

const redisUrl = inject('redisUrl');
const nowMs = Date.parse('2026-01-01T00:00:00Z');

describe('actions', () => {
  test('hold and release: the hold has an owner, the queue pauses, both actions are recorded', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const url = `${admin.url}/api/upstreams/crossmark/actions`;
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const askedAt = Date.now();
    const held = await postJson(url, cookie, { action: 'hold', reason: 'maintenance', until });
    const tookMs = Date.now() - askedAt;
    expect(held.status).toBe(200);
    const view = (await held.json()) as { holds: { until: string }[]; paused: boolean };
    expect(view).toMatchObject({
      name: 'crossmark',
      paused: true,
      holds: [{ kind: 'operator', owner: 'operator', reason: 'maintenance' }],
    });
    const laterMs = Date.parse(view.holds[0]?.until ?? '') - Date.parse(until);
    expect(laterMs).toBeGreaterThanOrEqual(0);
    // The action counts from Redis' whole second.
    expect(laterMs).toBeLessThanOrEqual(tookMs + 1_000);
    const released = await postJson(url, cookie, { action: 'release', reason: 'done' });
    expect(await released.json()).toMatchObject({ holds: [], paused: false });
    const entries = await admin.redis.xrange(`${admin.prefix}:audit`, '-', '+');
    const acts = entries.map(([, fields]) => fields.join(' '));
    expect(acts[0]).toContain('action login');
    expect(acts[1]).toContain(
      'user operator role operator action hold target crossmark reason maintenance until',
    );
    expect(acts[2]).toContain('action release target crossmark reason done');
  });

  test('force open, with an end time, and close fully', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('admin');
    const url = `${admin.url}/api/upstreams/crossmark/actions`;
    const until = new Date(Date.now() + 600_000).toISOString();
    const opened = await postJson(url, cookie, { action: 'open', reason: 'their night', until });
    expect(await opened.json()).toMatchObject({ breaker: { state: 'open', retryAt: until }, paused: true });
    const closed = await postJson(url, cookie, { action: 'close-full', reason: 'over' });
    expect(await closed.json()).toMatchObject({ breaker: { state: 'closed' }, paused: false });
  });

  test('a hold without an end: an hour for an operator, until released for an admin', async () => {
    await using admin = await startAdmin(redisUrl);
    const url = `${admin.url}/api/upstreams/crossmark/actions`;
    type Held = { holds: { until: string | null; since: string }[] };
    const hold = { action: 'hold', reason: 'look' };
    const byOperator = (await (await postJson(url, await admin.login('operator'), hold)).json()) as Held;
    const [set] = byOperator.holds;
    expect(Date.parse(set?.until ?? '') - Date.parse(set?.since ?? '')).toBe(3_600_000);
    const byAdmin = (await (await postJson(url, await admin.login('admin'), hold)).json()) as Held;
    expect(byAdmin.holds[0]?.until).toBeNull();
  });

  test('manual probes are rate limited', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const url = `${admin.url}/api/upstreams/crossmark/actions`;
    const until = new Date(Date.now() + 600_000).toISOString();
    const open = () => postJson(url, cookie, { action: 'open', reason: 'x', until });
    await open();
    const first = await postJson(url, cookie, { action: 'probe', reason: 'x' });
    expect(first.status).toBe(200);
    await open();
    const second = await postJson(url, cookie, { action: 'close', reason: 'x' });
    expect(second.status).toBe(429);
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
    const audit = JSON.stringify(await admin.redis.xrange(`${admin.prefix}:audit`, '-', '+'));
    expect(audit).not.toContain('close');
  });

  test('an unknown upstream returns 404', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const answer = await postJson(`${admin.url}/api/upstreams/nope/actions`, cookie, {
      action: 'hold',
      reason: 'x',
    });
    expect(answer.status).toBe(404);
  });

  test.each([
    [{ action: 'explode', reason: 'x' }, '/action'],
    [{ action: 'constructor', reason: 'x' }, '/action'],
    [{ action: 'hold' }, '/reason'],
    [{ action: 'hold', reason: '   ' }, '/reason'],
    [{ action: 'hold', reason: 'x', until: 'tomorrow' }, '/until'],
    [{ action: 'hold', reason: 'x', until: '2025-12-31T00:00:00Z' }, '/until'],
    [{ action: 'hold', reason: 'x', until: '2027-01-01T00:00:00Z' }, '/until'],
    [{ action: 'open', reason: 'x' }, '/until'],
    [{ action: 'release', reason: 'x', until: '2026-01-02T00:00:00Z' }, '/until'],
    [{ action: 'hold', reason: 'x', force: true }, '/force'],
    [undefined, '/action'],
  ])('%j is refused with its field', (body, pointer) => {
    const parsed = parseAction(body, nowMs);
    expect(parsed).toMatchObject({ problem: { status: 422 } });
    const errors = 'problem' in parsed ? (parsed.problem.more?.errors as { pointer: string }[]) : [];
    expect(errors.map((error) => error.pointer)).toContain(pointer);
  });

  test('an unknown action returns the allowed ones', () => {
    expect(parseAction({ action: 'explode', reason: 'x' }, nowMs)).toMatchObject({
      problem: { more: { allowed: ['hold', 'release', 'open', 'probe', 'close', 'close-full'] } },
    });
  });
});

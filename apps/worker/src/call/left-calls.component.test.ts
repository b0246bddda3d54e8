import { readUnmet } from '@recloser/calls/call/need';
import { createSealer } from '@recloser/runtime/secrets/seal';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { describe, expect, test } from 'vitest';
import { createKit, type Kit, ScriptedClient, testUpstream, until } from '../../test-kit/kit.ts';

const otherKey = createSealer(Buffer.alloc(32, 9));

/** The operations of an older release. */
function without(...names: readonly string[]): Record<string, OperationDefinition> {
  return Object.fromEntries(
    Object.entries(testUpstream.operations).filter(([name]) => !names.includes(name)),
  );
}

async function change(kit: Kit, id: string, data: object): Promise<void> {
  const job = await kit.queue.getJob(id);
  await job?.updateData({ ...job.data, ...data });
}

function linesWith(kit: Kit, text: string): string[] {
  return kit.lines.filter((line) => line.includes(text));
}

const unmet = ({ redis, root }: Kit) => readUnmet({ redis, root });

/** Waits until workers have left the call at least `times` times. */
function untilLeft(kit: Kit, id: string, times: number): Promise<void> {
  return until(async () => {
    const job = await kit.queue.getJob(id);
    if ((job?.attemptsStarted ?? 0) < times || job?.data.deferrals === 0) throw new Error('not left yet');
  });
}

describe('a call that a worker cannot make waits for one that can', () => {
  test('another session key: not charged, priority kept, made by the right worker', async () => {
    await using kit = await createKit();
    const [wrong, right] = [new ScriptedClient(), new ScriptedClient()];
    const { worker } = await kit.worker(wrong, { sealer: otherKey });
    const id = await kit.post('secret', { priority: 7 }, { note: 'call Ada Private' });
    const priority = (await kit.queue.getJob(id))?.priority;
    await untilLeft(kit, id, 3);
    const left = await kit.view(id);
    expect(['deferred', 'running']).toContain(left.status);
    expect(left.attempts.made).toBe(0);
    expect((await kit.queue.getJob(id))?.priority).toBe(priority);
    expect(worker.checks().at(-1)).toMatchObject({
      status: 'fail',
      output: expect.stringContaining('SESSION_KEY'),
    });
    const able = await kit.worker(right);
    const call = await kit.until(id, 'succeeded');
    expect(call.attempts).toMatchObject({ made: 1, stalls: 0 });
    expect(call.history).toMatchObject([{ outcome: 'done' }]);
    expect([wrong.asked, right.inputs]).toEqual([[], [{ note: 'call Ada Private' }]]);
    expect(able.worker.checks().map(({ status }) => status)).toEqual(['pass', 'pass']);
  });

  test('an unknown operation', async () => {
    await using kit = await createKit();
    const [older, newer] = [new ScriptedClient(), new ScriptedClient()];
    const { worker } = await kit.worker(older, { operations: without('notify') });
    const id = await kit.post('notify');
    await untilLeft(kit, id, 2);
    expect(worker.checks().at(-1)?.output).toContain('notify');
    await kit.worker(newer);
    expect((await kit.until(id, 'succeeded')).attempts.made).toBe(1);
    expect(older.asked).toEqual([]);
  });

  test('a newer envelope: the stored data does not change', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    const id = await kit.post('read');
    await change(kit, id, { v: 2, deferrals: 'a new form' });
    const stored = await kit.redis.hget(kit.queue.toKey(id), 'data');
    const { worker } = await kit.worker(client);
    await untilLeft(kit, id, 3);
    expect(await kit.redis.hget(kit.queue.toKey(id), 'data')).toBe(stored);
    expect(worker.checks().at(-1)?.output).toContain('version 2');
    expect((await kit.queue.getJob(id))?.attemptsMade).toBe(0);
    await change(kit, id, { v: 1, deferrals: 0 });
    await kit.until(id, 'succeeded');
  });

  test('the sending mark of a write stays', async () => {
    await using kit = await createKit();
    const [older, newer] = [new ScriptedClient(), new ScriptedClient()];
    const id = await kit.post('write');
    const sending = { at: new Date().toISOString(), worker: 'lost' };
    await change(kit, id, { sending });
    await kit.worker(older, { operations: without('write') });
    await untilLeft(kit, id, 2);
    expect((await kit.queue.getJob(id))?.data.sending).toEqual(sending);
    await kit.worker(newer);
    await kit.until(id, 'succeeded');
    expect(newer.asked[0]).toBe('verify write');
  });

  test('a worker that fetched such calls is ready again after a while without them', async () => {
    await using kit = await createKit({ timings: { leftRecentlyMs: 50 } });
    const { worker } = await kit.worker(new ScriptedClient(), { operations: without('notify') });
    const id = await kit.post('notify');
    await until(() => expect(worker.checks()).toHaveLength(3));
    await kit.worker(new ScriptedClient());
    await kit.until(id, 'succeeded');
    await until(() => expect(worker.checks()).toHaveLength(2));
  });
});

describe('a need that no live worker meets', () => {
  test('is logged once, however often its calls are given back, and is stored for admin and metrics', async () => {
    await using kit = await createKit();
    await kit.worker(new ScriptedClient(), { sealer: otherKey });
    await kit.worker(new ScriptedClient(), { sealer: otherKey });
    const ids = [await kit.post('secret', {}, { note: 'x' }), await kit.post('secret', {}, { note: 'y' })];
    await until(async () => expect(await unmet(kit)).toHaveLength(1));
    for (const id of ids) await untilLeft(kit, id, 4);
    expect(await unmet(kit)).toEqual([{ kind: 'session-key', fingerprint: kit.sealer.keys[0] }]);
    expect(linesWith(kit, 'no live worker can make')).toHaveLength(1);
  });

  test('of a call that does not name its key: no worker has another key', async () => {
    await using kit = await createKit();
    const id = await kit.post('secret', {}, { note: 'x' });
    await change(kit, id, { sealedWith: undefined });
    await kit.worker(new ScriptedClient(), { sealer: otherKey });
    await until(async () => expect(await unmet(kit)).toEqual([{ kind: 'session-key', fingerprint: null }]));
  });

  test('is not logged while another worker meets it', async () => {
    await using kit = await createKit();
    await kit.worker(new ScriptedClient(), { operations: without('notify') });
    const able = new ScriptedClient();
    await kit.worker(able);
    const ids = await Promise.all(Array.from({ length: 10 }, () => kit.post('notify')));
    for (const id of ids) await kit.until(id, 'succeeded');
    expect(able.asked).toHaveLength(10);
    expect(await unmet(kit)).toEqual([]);
  });
});

describe('the addresses of a worker', () => {
  const usual = 'https://api.example/v1';

  test('that differ from those of the fleet: a warning, and calls are made', async () => {
    await using kit = await createKit();
    await kit.worker(new ScriptedClient(), { baseUrl: usual });
    await kit.worker(new ScriptedClient(), { baseUrl: 'http://127.0.0.1:3002/testing' });
    await until(() => expect(linesWith(kit, 'other addresses than most workers')).toHaveLength(1));
    const [line = ''] = linesWith(kit, 'other addresses than most workers');
    expect(line).toContain('127.0.0.1:3002');
    expect(line).toContain('api.example');
    await kit.until(await kit.post('read'), 'succeeded');
  });

  test('that are the same: no warning', async () => {
    await using kit = await createKit({ timings: { addressLookMs: 5 } });
    await kit.worker(new ScriptedClient(), { baseUrl: usual });
    const { breaker } = await kit.worker(new ScriptedClient(), { baseUrl: usual });
    await kit.until(await kit.post('read'), 'succeeded');
    expect((await breaker.fleet.snapshot()).workers).toHaveLength(2);
    expect(linesWith(kit, 'other addresses')).toEqual([]);
  });
});

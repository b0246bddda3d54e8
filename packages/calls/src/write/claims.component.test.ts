import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { claim, claimsKey, credit, sweepClaims } from './claims.ts';

const redis = new Redis(inject('redisUrl'));
let root: string;
const queue = { toKey: (id: string) => `${root}:crossmark:${id}` };
const claims = () => ({ redis, root, queue });

/** Creates the job keys of these calls. */
async function keep(...callIds: string[]): Promise<void> {
  for (const id of callIds) await redis.hset(queue.toKey(id), 'data', '{}');
}

beforeEach(() => {
  root = `test-${randomUUID()}:{crossmark}`;
});
afterAll(() => redis.disconnect());

describe('claim', () => {
  it('grants a resource to one of many concurrent calls', async () => {
    const callIds = Array.from({ length: 20 }, (_, n) => `call-${n}`);
    await keep(...callIds);
    const given = await Promise.all(callIds.map((callId) => claim(claims(), '44000001', callId)));
    expect(given.filter(Boolean)).toHaveLength(1);
  });

  it('grants a resource to the same call again, but not to another call', async () => {
    await keep('first', 'second');
    expect(await claim(claims(), '44000001', 'first')).toBe(true);
    expect(await claim(claims(), '44000001', 'first')).toBe(true);
    expect(await claim(claims(), '44000001', 'second')).toBe(false);
    expect(await claim(claims(), '44000002', 'second')).toBe(true);
  });

  it("refuses a resource that an upstream's response credited to another call", async () => {
    await keep('first', 'second');
    await credit(claims(), '44000001', 'first');
    expect(await claim(claims(), '44000001', 'second')).toBe(false);
  });

  it('grants a resource whose call is no longer kept', async () => {
    await keep('second');
    await credit(claims(), '44000001', 'gone');
    expect(await claim(claims(), '44000001', 'second')).toBe(true);
  });
});

describe('sweepClaims', () => {
  it('removes only the claims of calls that are no longer kept', async () => {
    await keep('kept');
    await credit(claims(), 'of the kept', 'kept');
    for (let n = 0; n < 700; n += 1) await credit(claims(), `id-${n}`, `gone-${n}`);
    expect(await sweepClaims(claims())).toBe(700);
    expect(await redis.hgetall(claimsKey(root))).toEqual({ 'of the kept': 'kept' });
  });
});

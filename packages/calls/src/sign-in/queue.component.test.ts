import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { requestSignInStep, signInJobSchema, signInQueueOptions } from './queue.ts';

const sealer = {
  seal: (plain: string) => Buffer.from(plain).toString('base64'),
  open: (sealed: string) => Buffer.from(sealed, 'base64').toString(),
  keys: [],
};

let redis: Redis;
let queue: Queue;
let worker: Worker | undefined;

beforeEach(() => {
  redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  const { name, prefix } = signInQueueOptions(`test-${randomUUID()}`, 'walmart-edr');
  queue = new Queue(name, { connection: redis, prefix });
});

afterEach(async () => {
  await worker?.close();
  worker = undefined;
  await queue.close();
  redis.disconnect();
});

function work(processor: (data: unknown) => unknown): void {
  const { prefix } = queue.opts;
  worker = new Worker(queue.name, async (job) => processor(job.data), { connection: redis, prefix });
}

describe('requestSignInStep', () => {
  it('returns the answer and removes the job', async () => {
    const seen: unknown[] = [];
    work((data) => {
      seen.push(data);
      return { kind: 'signed-in' };
    });
    const answer = await requestSignInStep({
      queue,
      sealer,
      step: { step: 'verify', code: '123456' },
      timeoutMs: 60_000,
    });
    expect(answer).toEqual({ kind: 'signed-in' });
    expect(JSON.stringify(seen)).not.toContain('123456');
    const job = signInJobSchema.parse(seen[0]);
    expect(job.step === 'verify' && sealer.open(job.sealedCode)).toBe('123456');
    expect(await queue.getJobCountByTypes()).toBe(0);
  });

  it('times out and removes the request', async () => {
    const answer = await requestSignInStep({ queue, sealer, step: { step: 'send-code' }, timeoutMs: 100 });
    expect(answer).toMatchObject({ kind: 'no-answer', code: 'sign_in_timeout' });
    expect(await queue.getJobCountByTypes()).toBe(0);
  });

  it('returns no-answer if the worker fails', async () => {
    work(() => {
      throw new Error('no');
    });
    const answer = await requestSignInStep({ queue, sealer, step: { step: 'send-code' }, timeoutMs: 60_000 });
    expect(answer).toMatchObject({ kind: 'no-answer', code: 'sign_in_failed' });
  });
});

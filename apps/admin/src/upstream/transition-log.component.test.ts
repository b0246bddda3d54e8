import { randomBytes } from 'node:crypto';
import { createLogger } from '@recloser/runtime/observe/logger';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { expect, inject, onTestFinished, test } from 'vitest';
import { TransitionLog } from './transition-log.ts';

const log = createLogger({ name: 'test', level: 'silent' });

async function start() {
  const redis = connectRedis(inject('redisUrl'), { role: 'worker', name: 'test', log });
  onTestFinished(() => redis.disconnect());
  await redis.ping();
  const root = `t${randomBytes(5).toString('hex')}:{crossmark}`;
  const add = async (...names: string[]) => {
    for (const to of names)
      await redis.xadd(`${root}:transitions`, '*', 'at', 1, 'kind', 'operator', 'to', to);
  };
  const transitions = new TransitionLog({ redis, root });
  const read = async () => (await transitions.read()).map(({ to }) => to);
  return { redis, root, add, read };
}

test('returns all transitions, newest first, and adds new ones', async () => {
  const { add, read } = await start();
  expect(await read()).toEqual([]);
  const many = Array.from({ length: 130 }, (_, index) => String(index));
  await add(...many);
  expect(await read()).toEqual(many.toReversed());
  expect(await read()).toEqual(many.toReversed());
  await add('a', 'b');
  expect(await read()).toEqual(['b', 'a', ...many.toReversed()]);
});

test('leaves out nothing when more entries arrive than one read takes', async () => {
  const { add, read } = await start();
  await add('first');
  await read();
  const many = Array.from({ length: 90 }, (_, index) => String(index));
  await add(...many);
  expect(await read()).toEqual([...many.toReversed(), 'first']);
});

test('drops its cache when Redis was emptied', async () => {
  const { add, read, redis, root } = await start();
  await add('a', 'b');
  await read();
  await redis.del(`${root}:transitions`);
  expect(await read()).toEqual([]);
  await add('c');
  expect(await read()).toEqual(['c']);
});

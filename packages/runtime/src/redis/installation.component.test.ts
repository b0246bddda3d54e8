import { randomUUID } from 'node:crypto';
import { expect, inject, onTestFinished, test } from 'vitest';
import { createLogger } from '../observe/logger.ts';
import { connectRedis } from './connection.ts';
import { claimInstallation, leaveInstallationId, OtherInstallationError } from './installation.ts';

const log = createLogger({ name: 'test', level: 'silent' });

function fresh() {
  const redis = connectRedis(inject('redisUrl'), { role: 'fast', name: 'test', log });
  onTestFinished(() => redis.disconnect());
  return { redis, prefix: `test-${randomUUID()}` };
}

test('the first to come makes it, everybody after that finds it', async () => {
  const where = fresh();
  const claims = await Promise.all(
    ['web', 'worker', 'admin'].map((madeBy) => claimInstallation({ ...where, madeBy })),
  );
  expect(new Set(claims.map((found) => found?.id)).size).toBe(1);
  expect(claims[0]).toEqual({
    id: expect.any(String),
    createdAt: expect.any(String),
    madeBy: expect.any(String),
  });
  expect(await claimInstallation({ ...where, madeBy: 'npm start', id: 'mine' })).toEqual(claims[0]);
});

test('what is under the key and no installation of ours is somebody else', async () => {
  const where = fresh();
  await where.redis.set(`${where.prefix}:installation`, 'not ours');
  expect(await claimInstallation({ ...where, madeBy: 'npm start' })).toBeNull();
});

test('a process leaves an id once Redis is there', async () => {
  const where = fresh();
  leaveInstallationId({ ...where, madeBy: 'web', log });
  await expect
    .poll(async () => JSON.parse((await where.redis.get(`${where.prefix}:installation`)) ?? '{}'))
    .toMatchObject({ madeBy: 'web' });
  await expect.poll(() => where.redis.listenerCount('ready')).toBe(1);
});

test('the refusal names the host and both ways out, and no password', () => {
  const other = { id: 'x', createdAt: '2026-11-28T00:00:00.000Z', madeBy: 'web' };
  const { message } = new OtherInstallationError({
    redisUrl: 'redis://ada:hush-hush@redis.staging:6380/2',
    prefix: 'recloser',
    other,
  });
  expect(message).toContain('redis.staging:6380');
  expect(message).toContain('REDIS_URL');
  expect(message).toContain('REDIS_PREFIX');
  expect(message).not.toMatch(/hush|ada/);
});

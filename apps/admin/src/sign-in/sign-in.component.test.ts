import { signInJobSchema } from '@recloser/calls/sign-in/queue';
import { createLogger } from '@recloser/runtime/observe/logger';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { type Job, Worker } from 'bullmq';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { postJson, startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';

const redisUrl = inject('redisUrl');
const log = createLogger({ name: 'test', level: 'silent' });

/** Answers sign-in jobs as `answer` says. */
function answerSteps(admin: TestAdmin, answer: (job: Job) => unknown): void {
  const queue = admin.upstreams.find(({ definition }) => definition.name === 'walmart-edr')?.signInQueue;
  if (!queue) throw new Error('no sign-in queue');
  const connection = connectRedis(redisUrl, { role: 'worker', name: 'test', log });
  const worker = new Worker(queue.name, async (job) => answer(job), {
    connection,
    prefix: queue.opts.prefix ?? '',
  });
  onTestFinished(async () => {
    await worker.close();
    connection.disconnect();
  });
}

const url = (admin: TestAdmin, step: string, name = 'walmart-edr') =>
  `${admin.url}/api/sign-in/${name}/${step}`;

describe('sign-in', () => {
  test('a worker runs both steps, and the code is stored only sealed', async () => {
    await using admin = await startAdmin(redisUrl);
    const seen: string[] = [];
    answerSteps(admin, (job) => {
      seen.push(JSON.stringify(job.data));
      const data = signInJobSchema.parse(job.data);
      if (data.step === 'send-code') return { kind: 'code-sent' };
      const code = createSealer(admin.sessionKey).open(data.sealedCode);
      return code === '048213'
        ? { kind: 'signed-in' }
        : { kind: 'refused', code: 'wrong_code', message: 'The code is wrong.' };
    });
    const cookie = await admin.login('operator');
    const sent = await postJson(url(admin, 'send-code'), cookie, {});
    expect([sent.status, await sent.json()]).toEqual([200, { kind: 'code-sent' }]);
    const wrong = await postJson(url(admin, 'verify'), cookie, { code: '111111' });
    expect([wrong.status, await wrong.json()]).toEqual([
      422,
      expect.objectContaining({ code: 'wrong_code' }),
    ]);
    const right = await postJson(url(admin, 'verify'), cookie, { code: '048213' });
    expect([right.status, await right.json()]).toEqual([200, { kind: 'signed-in' }]);
    expect(seen.join()).not.toContain('048213');
    expect(JSON.stringify(await admin.redis.xrange(`${admin.prefix}:audit`, '-', '+'))).not.toContain(
      '048213',
    );
  });

  test('a second text message right after the first is refused', async () => {
    await using admin = await startAdmin(redisUrl);
    answerSteps(admin, () => ({ kind: 'code-sent' }));
    const cookie = await admin.login('operator');
    expect((await postJson(url(admin, 'send-code'), cookie, {})).status).toBe(200);
    const again = await postJson(url(admin, 'send-code'), cookie, {});
    expect([again.status, Number(again.headers.get('retry-after'))]).toEqual([429, 10]);
  });

  test('without a worker the request returns 504 after the timeout', async () => {
    await using admin = await startAdmin(redisUrl, 50);
    const answer = await postJson(url(admin, 'send-code'), await admin.login('operator'), {});
    expect(answer.status).toBe(504);
    expect(await answer.json()).toMatchObject({
      code: 'no_answer',
      detail: expect.stringContaining('No worker answered'),
    });
  });

  test.each(['12345', '1234567', 'abcdef', '12345６', 123456, undefined])(
    '%j is not a valid code',
    async (code) => {
      await using admin = await startAdmin(redisUrl);
      const answer = await postJson(url(admin, 'verify'), await admin.login('operator'), { code });
      expect(answer.status).toBe(422);
      expect(await answer.json()).toMatchObject({ errors: [{ pointer: '/code' }] });
    },
  );

  test('an upstream that needs no person to sign in returns 404', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    for (const name of ['crossmark', 'nope']) {
      expect((await postJson(url(admin, 'send-code', name), cookie, {})).status).toBe(404);
      expect((await fetch(`${admin.url}/sign-in/${name}`, { headers: { cookie } })).status).toBe(404);
    }
    expect((await fetch(`${admin.url}/sign-in/walmart-edr`, { headers: { cookie } })).status).toBe(200);
  });
});

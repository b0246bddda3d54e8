import { requestSignInStep, signInQueueOptions } from '@recloser/calls/sign-in/queue';
import { Queue } from 'bullmq';
import { expect, test } from 'vitest';
import { createKit, type Kit, ScriptedClient } from '../../test-kit/kit.ts';

function ask(kit: Kit, step: Parameters<typeof requestSignInStep>[0]['step']) {
  const { name, ...where } = signInQueueOptions(kit.prefix, 'testing');
  const queue = new Queue(name, { ...where, connection: kit.connect('worker') });
  return requestSignInStep({ queue, sealer: kit.sealer, step, timeoutMs: 5_000 }).finally(() =>
    queue.close(),
  );
}

test('runs the steps, releases the sign-in hold after the last, and does not log the code', async () => {
  await using kit = await createKit();
  const client = new ScriptedClient();
  client.onSignIn = async (step) => (step.step === 'verify' ? { kind: 'signed-in' } : { kind: 'code-sent' });
  await kit.worker(client);
  await kit.holds.set({ kind: 'sign-in', owner: 'w1', reason: 'signed out' });
  expect(await ask(kit, { step: 'send-code' })).toEqual({ kind: 'code-sent' });
  expect(await kit.holds.list()).toHaveLength(1);
  expect(await ask(kit, { step: 'verify', code: '918273' })).toEqual({ kind: 'signed-in' });
  expect(client.steps).toEqual([{ step: 'send-code' }, { step: 'verify', code: '918273' }]);
  expect(await kit.holds.list()).toEqual([]);
  expect(await kit.queue.isPaused()).toBe(false);
  expect(kit.lines.join('')).not.toContain('918273');
});

test('a refused code returns its reason and releases nothing', async () => {
  await using kit = await createKit();
  const client = new ScriptedClient();
  client.onSignIn = async () => ({ kind: 'refused', code: 'wrong_code', message: 'The code was refused.' });
  await kit.worker(client);
  await kit.holds.set({ kind: 'sign-in', owner: 'w1', reason: 'signed out' });
  expect(await ask(kit, { step: 'verify', code: '000000' })).toMatchObject({
    kind: 'refused',
    code: 'wrong_code',
  });
  expect(await kit.holds.list()).toHaveLength(1);
});

test('an expired request is not run', async () => {
  await using kit = await createKit();
  const client = new ScriptedClient();
  const { name, ...where } = signInQueueOptions(kit.prefix, 'testing');
  await using queue = Object.assign(new Queue(name, { ...where, connection: kit.connect('worker') }), {
    async [Symbol.asyncDispose]() {
      await queue.close();
    },
  });
  const expiresAt = new Date(Date.now() - 1).toISOString();
  await queue.add('send-code', { v: 1, step: 'send-code', expiresAt }, { jobId: 'late' });
  await kit.worker(client);
  await expect
    .poll(async () => (await queue.getJob('late'))?.returnvalue)
    .toMatchObject({ code: 'request_expired' });
  expect(client.steps).toEqual([]);
});

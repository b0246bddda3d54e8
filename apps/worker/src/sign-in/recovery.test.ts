import { createLogger } from '@recloser/runtime/observe/logger';
import { describe, expect, onTestFinished, test } from 'vitest';
import { SignInRecovery } from './recovery.ts';

type Hold = { kind: string; since: number; until: number | null };
type Answer = 'signed-in' | 'no' | 'later';

const forPassword: Hold = { kind: 'sign-in', since: 5, until: null };

/** Starts a recovery with these holds. Its sign-ins receive `answers` in order. */
function start(holds: Hold[], answers: Answer[], due: boolean[] = []) {
  const asked: string[] = [];
  const released: string[] = [];
  let looks = 0;
  const recovery = new SignInRecovery({
    signInAnew: async (when) => {
      asked.push(when);
      return answers.shift() ?? 'no';
    },
    isDue: async () => due.shift() ?? false,
    holds: {
      list: async () => {
        looks += 1;
        return [...holds];
      },
      release: async (kind) => {
        released.push(kind);
        holds.length = 0;
      },
    },
    workerId: 'w1',
    everyMs: 5,
    timeoutMs: 1_000,
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  recovery.start();
  onTestFinished(() => recovery.stop());
  const moreLooks = async () => {
    const before = looks;
    await expect.poll(() => looks).toBeGreaterThan(before + 3);
  };
  return { asked, released, moreLooks };
}

describe('a sign-in hold', () => {
  test('at the start: signs in once and releases it', async () => {
    const { asked, released, moreLooks } = start([forPassword], ['signed-in']);
    await moreLooks();
    expect(asked).toEqual(['always']);
    expect(released).toEqual(['sign-in']);
  });

  test('with refused credentials: keeps it and does not sign in again', async () => {
    const { asked, released, moreLooks } = start([forPassword], ['no', 'signed-in']);
    await moreLooks();
    expect(asked).toEqual(['always']);
    expect(released).toEqual([]);
  });

  test('with refused credentials: signs in again when that is due', async () => {
    const { asked, released, moreLooks } = start(
      [forPassword],
      ['no', 'no', 'signed-in'],
      [false, true, false, true],
    );
    await moreLooks();
    await moreLooks();
    expect(asked).toEqual(['always', 'always', 'always']);
    expect(released).toEqual(['sign-in']);
  });

  test('signs in again if the upstream did not answer', async () => {
    const { asked, released, moreLooks } = start([forPassword], ['later', 'later', 'signed-in']);
    await moreLooks();
    expect(asked).toEqual(['always', 'always', 'always']);
    expect(released).toEqual(['sign-in']);
  });

  test('set later: signs in only if other credentials were refused, once per hold', async () => {
    const holds: Hold[] = [];
    const { asked, moreLooks } = start(holds, ['no', 'no']);
    await moreLooks();
    holds.push(forPassword);
    await moreLooks();
    holds[0] = { ...forPassword, since: 6 };
    await moreLooks();
    expect(asked).toEqual(['others', 'others']);
  });

  test.each([
    ['with an end', { ...forPassword, until: 9 }],
    ['of another kind', { ...forPassword, kind: 'operator' }],
  ])('%s: does not sign in', async (_what, hold) => {
    const { asked, moreLooks } = start([hold], ['signed-in']);
    await moreLooks();
    expect(asked).toEqual([]);
  });
});

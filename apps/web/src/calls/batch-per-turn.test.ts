import { expect, test } from 'vitest';
import { batchPerTurn } from './batch-per-turn.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('lookups of one turn share one batch, and each gets its own answer', async () => {
  const asked: (readonly string[])[] = [];
  const ask = batchPerTurn(async (keys: readonly string[]) => {
    asked.push(keys);
    return keys.map((key) => `${key}!`);
  });
  expect(await Promise.all([ask('a'), ask('b'), ask('a')])).toEqual(['a!', 'b!', 'a!']);
  expect(await ask('c')).toBe('c!');
  expect(asked).toEqual([['a', 'b', 'a'], ['c']]);
});

test('a slow answer does not delay the next turn', async () => {
  const asked: (readonly string[])[] = [];
  const slow = Promise.withResolvers<readonly string[]>();
  const ask = batchPerTurn((keys: readonly string[]) => {
    asked.push(keys);
    return keys[0] === 'slow' ? slow.promise : Promise.resolve(keys);
  });
  const first = ask('slow');
  await turn();
  expect(await ask('quick')).toBe('quick');
  slow.resolve(['at last']);
  expect(await first).toBe('at last');
  expect(asked).toEqual([['slow'], ['quick']]);
});

test('a failure rejects the lookups of its batch only', async () => {
  let fails = true;
  const ask = batchPerTurn((keys: readonly string[]) =>
    fails ? Promise.reject(new Error('no Redis')) : Promise.resolve(keys),
  );
  const together = await Promise.allSettled([ask('a'), ask('b')]);
  expect(together.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  fails = false;
  expect(await ask('a')).toBe('a');
});

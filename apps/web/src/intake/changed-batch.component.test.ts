import { expect, inject, test } from 'vitest';
import { startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
type Web = Awaited<ReturnType<typeof startWeb>>;
type Problem = { code: string; detail: string; id?: string; place?: number };
type Result = { status: number; call?: { id: string; replayed: boolean }; problem?: Problem };

const item = (n: number, more: object = {}) => ({
  upstream: 'crossmark',
  operation: 'schedule-event',
  input: { ...visit, mPlanId: String(31_000_000 + n) },
  ...more,
});

async function submit(web: Web, items: readonly unknown[]): Promise<Result[]> {
  const response = await web.post('/v1/calls:batch', { items }, { 'Idempotency-Key': 'b' });
  return ((await response.json()) as { results: Result[] }).results;
}

test('refusals of a shifted batch name the old positions and do not advise sending the items again', async () => {
  await using web = await startWeb({ redisUrl });
  const first = await submit(
    web,
    [10, 11, 12, 13].map((n) => item(n)),
  );
  const shifted = await submit(
    web,
    [11, 12, 99].map((n) => item(n)),
  );
  expect(shifted.map(({ status }) => status)).toEqual([422, 422, 422]);
  for (const [index, place] of [1, 2].entries()) {
    const problem = shifted[index]?.problem;
    expect(problem).toMatchObject({ code: 'idempotency_key_reused', place, id: first[place]?.call?.id });
    expect(problem?.detail).toContain(`place ${place} of that batch`);
    expect(problem?.detail).toContain('was not stored again');
    expect(problem?.detail).not.toMatch(/new key|another Idempotency-Key/i);
  }
  expect(shifted[2]?.problem?.detail).toContain('which did not contain this item');
  expect(await web.upstream().queue.getJobCountByTypes()).toBe(4);
});

test('an item that moved to a free position is not stored again; an equal added item is', async () => {
  await using web = await startWeb({ redisUrl });
  const first = await submit(
    web,
    [10, 11].map((n) => item(n)),
  );
  const longer = await submit(
    web,
    [9, 10, 11].map((n) => item(n)),
  );
  expect(longer.map(({ status }) => status)).toEqual([422, 422, 422]);
  expect(longer[2]?.problem).toMatchObject({ place: 1, id: first[1]?.call?.id });
  const doubled = await submit(
    web,
    [10, 11, 11].map((n) => item(n)),
  );
  expect(doubled.map(({ status, call }) => [status, call?.replayed])).toEqual([
    [202, true],
    [202, true],
    [202, false],
  ]);
  expect(await web.upstream().queue.getJobCountByTypes()).toBe(3);
});

test('an equal, a shorter and a longer batch return the existing calls', async () => {
  await using web = await startWeb({ redisUrl });
  const ids = (results: readonly Result[]) => results.map(({ call }) => call?.id);
  const first = ids(
    await submit(
      web,
      [1, 2].map((n) => item(n)),
    ),
  );
  expect(
    ids(
      await submit(
        web,
        [1, 2].map((n) => item(n)),
      ),
    ),
  ).toEqual(first);
  expect(ids(await submit(web, [item(1)]))).toEqual(first.slice(0, 1));
  expect(
    ids(
      await submit(
        web,
        [1, 2, 3].map((n) => item(n)),
      ),
    ).slice(0, 2),
  ).toEqual(first);
  expect(await web.upstream().queue.getJobCountByTypes()).toBe(3);
});

test('a reused key of an item names its call', async () => {
  await using web = await startWeb({ redisUrl });
  const [stored] = await submit(web, [item(1, { idempotencyKey: 'k' })]);
  const [reused] = await submit(web, [item(2, { idempotencyKey: 'k' })]);
  expect(reused?.problem).toMatchObject({ code: 'idempotency_key_reused', id: stored?.call?.id });
  expect(reused?.problem?.detail).toContain('To retry that request, send the same body.');
});

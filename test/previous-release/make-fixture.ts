/**
 * Makes `fixture.json`: what a release leaves in Redis when its workers end in the middle of their work.
 *
 * Run it before a release is made, in a checkout of the release that is out there:
 *
 *   git worktree add ../released <its commit> && cd ../released && npm ci
 *   cp -r ../recloser/test/previous-release test/
 *   node_modules/.bin/node test/previous-release/make-fixture.ts && cp test/previous-release/fixture.json ../recloser/test/previous-release/
 *   cd ../recloser && npm run format
 *
 * Always true: everything in it was written by that release's own processes, none of it by hand.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startStack } from '@recloser/local-stack/stack/stack';
import { StackApi, visitInput } from '@recloser/local-stack/stack/stack-api';
import { Redis } from 'ioredis';
import { dumpRedis } from './redis-contents.ts';

/** Over when the fixture is used, not yet when the picture is taken. */
const soonMs = 5_000;
const dataDir = await mkdtemp(join(tmpdir(), 'recloser-fixture-'));
const stack = await startStack({
  workers: 1,
  dataDir,
  env: {
    NODE_ENV: 'development',
    // Of no worth: it seals made-up texts in a file that everybody may read.
    SESSION_KEY: Buffer.alloc(32, 7).toString('base64'),
    // Long, so that what waits still waits when the picture is taken.
    CROSSMARK_BACKOFF_BASE_MS: '300000',
    CROSSMARK_BREAKER_FAIL_MAX: '100',
  },
});
const api = new StackApi(stack.urls);
const redis = new Redis(stack.redisUrl);
/** What was posted under which name, and what the new release must make of it. */
const calls: Record<string, { id: string; operation: string; input: unknown }> = {};
const place = (n: number) => ({ mPlanId: String(30_000_000 + n), locationId: String(150_000 + n) });

async function post(
  name: string,
  operation: string,
  input: unknown,
  options?: object,
  key?: string,
): Promise<string> {
  const headers: Record<string, string> = key ? { 'idempotency-key': key } : {};
  const { status, body } = await api.post(
    `crossmark/${operation}`,
    { input, ...(options && { options }) },
    headers,
  );
  if (status !== 202) throw new Error(`${name}: ${status} ${JSON.stringify(body)}`);
  const id = String(body.id);
  calls[name] = { id, operation, input };
  return id;
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await check()); tries += 1) {
    if (tries > 300) throw new Error(`it never came to that: ${what}`);
    await pause(100);
  }
}

const untilStatus = (id: string, ...wanted: string[]) =>
  until(`${id} ${wanted.join(' or ')}`, async () => wanted.includes((await api.call(id)).status));

async function withFault(fault: Record<string, unknown>, name: string, operation: string, input: unknown) {
  await api.faults([{ ...fault, operation, times: 1 }]);
  return post(name, operation, input);
}

await untilStatus(
  await post('succeeded', 'schedule-event', visitInput(1), undefined, 'fixture-key-1'),
  'succeeded',
);
await untilStatus(await withFault({ kind: 'not-ok' }, 'failed', 'schedule-event', visitInput(2)), 'failed');
const reissue = { ...place(3), repId: '101234', expirationDate: '2027-02-01', comments: 'Ring twice.' };
await untilStatus(
  await withFault({ kind: 'status', status: 503 }, 'inDoubt', 'reissue-event', reissue),
  'in_doubt',
);
await untilStatus(
  await withFault({ kind: 'status', status: 503 }, 'retrying', 'list-qualified-reps', place(4)),
  'retrying',
);
// Sent, applied, and the connection broke: it waits to be read back.
const readBack = await withFault(
  { kind: 'reset', afterApply: true },
  'readBack',
  'schedule-event',
  visitInput(5),
);
await until('a read-back waits', async () => {
  const data = await redis.hget(`recloser:{crossmark}:crossmark:${readBack}`, 'data');
  return (data ?? '').includes('"readBack"') || (data ?? '').includes('"sending"');
});
// In the middle of a write: the mark is stored, the answer never comes, the worker is killed.
await api.faults([{ kind: 'hang', operation: 'schedule-event' }]);
const sending = await post('sending', 'schedule-event', visitInput(6));
await until('a write is under way', async () => {
  const arrived = (await api.ledger()).requests.some(({ outcome }) => outcome === 'hung');
  const data = await redis.hget(`recloser:{crossmark}:crossmark:${sending}`, 'data');
  return arrived && (data ?? '').includes('"sending"');
});
for (const worker of [...stack.workers]) await stack.kill(worker, 'SIGKILL');
// From here on nobody works: these wait.
await post('waiting', 'schedule-event', visitInput(7), { metadata: { order: 'A-1' } }, 'fixture-key-2');
await post('first', 'schedule-event', visitInput(8), { priority: 1 });
await post('last', 'schedule-event', visitInput(9), { priority: 100, maxAttempts: 2 });
await post('sealed', 'reissue-event', { ...reissue, ...place(10) });
await post('read', 'list-planning', { startDate: '2027-01-04', endDate: '2027-01-06' });
await post('scheduled', 'schedule-event', visitInput(11), {
  runAt: new Date(Date.now() + soonMs).toISOString(),
});
await post('expiring', 'schedule-event', visitInput(12), {
  expiresAt: new Date(Date.now() + soonMs).toISOString(),
});
const commit = execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
const fixture = {
  commit,
  takenAt: new Date().toISOString(),
  calls,
  contents: await dumpRedis(redis, 'recloser:'),
};
await writeFile(join(import.meta.dirname, 'fixture.json'), `${JSON.stringify(fixture, null, 2)}\n`);
redis.disconnect();
await stack.stop();
await rm(dataDir, { recursive: true, force: true });

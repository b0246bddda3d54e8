/**
 * Proves that a new upstream needs one folder and one line in each of three registries. Runs the type check, the contract
 * suite and the system in a copy of the sources.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { StackApi } from '@recloser/local-stack/stack/stack-api';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { until } from '../support/stack.ts';
import { copyWithThirdUpstream } from '../third-upstream/add-upstream.ts';

const run = promisify(execFile);
const parcel = (n: number) => ({ input: { reference: `P-${n}`, weightGrams: 500 } });

let copy: Awaited<ReturnType<typeof copyWithThirdUpstream>>;
beforeAll(async () => {
  copy = await copyWithThirdUpstream();
});
afterAll(() => copy[Symbol.asyncDispose]());

/** Runs a development tool in the copy. Returns its output if it fails. */
async function complaintsOf(file: string, ...args: string[]): Promise<string> {
  // The report of this run is not the place for that of another.
  const { TEST_REPORT: _, FORCE_COLOR: __, ...rest } = process.env;
  const env = { ...rest, REDIS_URL: inject('redisUrl'), NO_COLOR: '1' };
  const done = run(process.execPath, [join('node_modules', file), ...args], { cwd: copy.path, env });
  return done.then(
    () => '',
    ({ stdout, stderr }) => `${stdout}\n${stderr}`,
  );
}

/** Writes a tsconfig in the copy without the tests that do not depend on upstreams. */
async function productAndContract(): Promise<string> {
  const include = ['apps/*/src', 'packages/*/src', 'test/contract', 'test/support/global-setup.ts'];
  const exclude = ['apps/*/src/**/*.test.ts', 'packages/*/src/**/*.test.ts'];
  const file = join(copy.path, 'tsconfig.upstream.json');
  await writeFile(file, JSON.stringify({ extends: './tsconfig.json', include, exclude }));
  return file;
}

describe('a third upstream', () => {
  test('passes the type check', async () => {
    const project = await productAndContract();
    expect(await complaintsOf('typescript/bin/tsc', '--project', project)).toBe('');
  });

  test('passes the contract suite', async () => {
    // One process for all files: loading the suite takes longer than running it for one upstream.
    const only = ['-t', '^parcels', '--exclude', '**/bullmq-conformance.test.ts'];
    const options = ['--project', 'contract', ...only, '--no-isolate', '--maxWorkers=1'];
    const file = join(copy.path, 'report.json');
    const reporter = ['--reporter=json', `--outputFile.json=${file}`];
    expect(await complaintsOf('vitest/vitest.mjs', 'run', ...reporter, ...options)).toBe('');
    const report = JSON.parse(await readFile(file, 'utf8')) as { numPassedTests: number };
    expect(report.numPassedTests).toBeGreaterThan(190);
  });

  test('works in web, worker, simulator and admin, with its own breaker', async () => {
    const { startStack } = (await import(
      pathToFileURL(join(copy.path, 'tools/local-stack/src/stack/stack.ts')).href
    )) as typeof import('@recloser/local-stack/stack/stack');
    await using stack = await startStack({
      env: {
        NODE_ENV: 'development',
        REDIS_URL: inject('redisUrl'),
        REDIS_PREFIX: `third-${randomUUID()}`,
        ADMIN_PASSWORD: 'correct horse battery staple',
        READ_BACK_WAITS_MS: '300,1000',
        PARCELS_BREAKER_RESET_MS: '1500',
        PARCELS_BACKOFF_BASE_MS: '200',
      },
      workers: 1,
      dataDir: join(copy.path, `.data-${randomUUID()}`),
    });
    const api = new StackApi(stack.urls);
    const admin = await AdminApi.logIn(stack.urls.admin, 'admin', 'correct horse battery staple');
    const shown = async () => {
      const { body } = await admin.get('/api/upstreams');
      const views = body.upstreams as { name: string; breaker: { state: string } }[];
      return views.find(({ name }) => name === 'parcels')?.breaker.state;
    };

    const first = await api.post('parcels/send-parcel', parcel(1));
    expect(first.status).toBe(202);
    expect(await api.call(String(first.body.id), 10)).toMatchObject({
      status: 'succeeded',
      result: { parcelId: expect.any(String), reference: 'P-1' },
    });
    expect(await shown()).toBe('closed');

    await api.faults([{ kind: 'status', status: 503 }], { name: 'parcels' });
    const ids: string[] = [];
    for (let n = 2; n < 8; n += 1)
      ids.push(String((await api.post('parcels/send-parcel', parcel(n))).body.id));
    await until(async () => expect(await shown()).toBe('open'));
    await api.faults([], { name: 'parcels' });
    for (const id of ids) await until(async () => expect((await api.call(id)).status).toBe('succeeded'));
    await until(async () => expect(await shown()).toBe('closed'));
    const { visitsByItem } = await api.ledger('parcels');
    expect(visitsByItem).toEqual(Object.fromEntries([1, 2, 3, 4, 5, 6, 7].map((n) => [`P-${n}`, 1])));
    expect((await api.upstream('crossmark')).breaker.state).toBe('closed');
  });
});

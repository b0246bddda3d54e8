/** The code of the guide for Flask apps: Python processes against a whole system, with and without an outage. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@recloser/local-stack/process/free-port';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { findPython } from '../support/programs/python.ts';
import { startTestStack, type TestStack, until } from '../support/stack.ts';

const root = join(import.meta.dirname, '../..');
const examples = join(root, 'examples/flask');
const python = findPython();

const secret = `whsec_${randomBytes(32).toString('base64')}`;
let running: TestStack;
beforeAll(async () => {
  running = await startTestStack({
    env: {
      CALLBACK_HOSTS: '127.0.0.1',
      CALLBACK_SECRETS: secret,
      CALLBACK_RETRY_SECONDS: '1,1,1,1,1,1',
      // Probes often, so that the end of an outage is soon noticed.
      CROSSMARK_BREAKER_RESET_MS: '500',
    },
  });
});
afterAll(() => running[Symbol.asyncDispose]());

type Answer = { readonly status: number; readonly body: Record<string, unknown> };

/** Fills the app's own tables, with Python's sqlite3. */
const seed = `
import sqlite3, sys
sys.path.insert(0, '.')
from scheduling import TABLES
db = sqlite3.connect(sys.argv[1])
db.executescript(TABLES)
db.executemany('INSERT OR IGNORE INTO events VALUES (?, ?, ?, 390)',
  [(n, str(30000000 + int(sys.argv[2]) + n), str(150000 + n)) for n in range(1, 20)])
db.executemany('INSERT OR IGNORE INTO employees VALUES (?, ?)', [('US1001', '100001'), ('US1002', '100002')])
db.commit()
`;

let apps = 0;

/** One app with its own database. It can be killed and restarted. */
class App {
  readonly #directory = mkdtempSync(join(tmpdir(), 'recloser-flask-'));
  readonly #file: string;
  readonly #port: number;
  readonly items: number;
  #child: ReturnType<typeof spawn> | undefined;
  output = '';

  constructor(file: string, port: number) {
    this.#file = file;
    this.#port = port;
    apps += 1;
    this.items = apps * 100;
    const database = join(this.#directory, 'app.db');
    const seeded = spawnSync(python, ['-B', '-c', seed, database, String(this.items)], { cwd: examples });
    if (seeded.status !== 0) throw new Error(String(seeded.stderr));
  }

  async start(reclosers: string = running.stack.urls.web): Promise<void> {
    const child = spawn(python, ['-B', this.#file], {
      cwd: examples,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: String(this.#port),
        DATABASE: join(this.#directory, 'app.db'),
        RECLOSER_URL: reclosers,
        CALLBACK_SECRETS: secret,
        TELL_AGAIN_SECONDS: '0.5',
      },
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (part) => (this.output += String(part)));
    this.#child = child;
    await until(async () => expect((await this.send('GET', '/api/schedules/none')).status).toBe(404), 20_000);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async send(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    });
    // Flask's own errors are HTML pages.
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, body: isJson ? ((await response.json()) as Answer['body']) : {} };
  }

  async state(id: unknown, state: string): Promise<Record<string, unknown>> {
    return await until(async () => {
      const { body } = await this.send('GET', `/api/schedules/${id}`);
      expect(body, this.output).toMatchObject({ state });
      return body;
    }, 30_000);
  }

  book(event: number): Promise<Answer> {
    const form = {
      event_id: event,
      employee_id: 'US1001',
      start: `2027-03-${String(event + 1).padStart(2, '0')}T09:00:00-05:00`,
    };
    return this.send('POST', '/api/schedule-event', form);
  }
}

async function startApp(file: string, { start = true } = {}): Promise<App> {
  const app = new App(file, await freePort());
  onTestFinished(() => app.remove());
  if (start) await app.start();
  return app;
}

async function visitsOf(item: number): Promise<readonly Record<string, unknown>[]> {
  const { visits } = await running.api.ledger();
  return visits.filter(({ mPlanId }) => mPlanId === String(30_000_000 + item));
}

describe.each(['plain_app.py', 'flask_app.py'])('%s', (file) => {
  test('books a visit, receives the callback, and unschedules the visit', async () => {
    const app = await startApp(file);
    const booked = await app.book(1);
    expect(booked.status, JSON.stringify(booked.body)).toBe(202);
    expect(booked.body).toMatchObject({ state: 'booking', waiting_for: [] });
    const row = await app.state(booked.body.id, 'booked');
    expect(row.external_id).toMatch(/^\d{8}$/);
    expect(await visitsOf(app.items + 1)).toHaveLength(1);
    const removed = await app.send('DELETE', `/api/unschedule/${row.id}`);
    expect(removed.status, JSON.stringify(removed.body)).toBe(202);
    await app.state(row.id, 'removed');
    expect(await visitsOf(app.items + 1)).toEqual([]);
    expect((await app.send('DELETE', `/api/unschedule/${row.id}`)).status).toBe(409);
  });

  test('lists the available reps', async () => {
    const app = await startApp(file);
    const days = 'start=2027-01-04T00:00:00-05:00&end=2027-01-11T00:00:00-05:00';
    const { status, body } = await app.send('GET', `/api/get_available_reps?${days}`);
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body).toEqual({
      stale: false,
      reps: expect.arrayContaining([expect.objectContaining({ repId: expect.any(String) })]),
    });
  });

  test('refuses invalid requests, and callbacks that are not signed', async () => {
    const app = await startApp(file);
    expect((await app.send('POST', '/api/schedule-event', { event_id: 1 })).status).toBe(400);
    expect((await app.send('POST', '/api/schedule-event', '{')).status).toBe(400);
    expect((await app.send('GET', '/api/get_available_reps')).status).toBe(400);
    expect((await app.send('DELETE', '/api/unschedule/none')).status).toBe(404);
    expect((await app.send('POST', '/hooks/recloser', { type: 'call.succeeded' })).status).toBe(401);
    const { body } = await app.send('POST', '/api/schedule-event', {
      event_id: 2,
      employee_id: 'US1001',
      start: 'soon',
    });
    await app.state(body.id, 'failed');
  });

  test('an outage: a booking shows why it waits, a cancelled one is never made, the others are made once', async () => {
    const app = await startApp(file);
    const days = 'start=2027-02-01T00:00:00-05:00&end=2027-02-08T00:00:00-05:00';
    expect((await app.send('GET', `/api/get_available_reps?${days}`)).status).toBe(200);
    await running.api.faults([{ kind: 'status', status: 503 }]);
    // Reads open the breaker: no visit has been sent, so none needs a read-back, which takes a minute.
    for (let n = 0; n < 10; n += 1) {
      const input = { mPlanId: String(30_000_000 + n), locationId: '150001' };
      await running.api.post('crossmark/list-qualified-reps', { input });
    }
    await until(async () => expect((await running.api.upstream()).breaker.state).not.toBe('closed'));
    const more = await Promise.all([3, 4, 5, 6, 7, 8, 9].map((event) => app.book(event)));
    const waiting = await app.book(10);
    const unwanted = await app.book(11);
    expect([waiting.status, unwanted.status]).toEqual([202, 202]);
    const stale = await app.send('GET', `/api/get_available_reps?${days}`);
    expect(stale.status, JSON.stringify(stale.body)).toBe(200);
    expect(stale.body).toMatchObject({ stale: true, reps: expect.any(Array) });
    expect(waiting.body.waiting_for).not.toEqual([]);
    await until(async () => {
      const cancelled = await app.send('DELETE', `/api/unschedule/${unwanted.body.id}`);
      expect(cancelled, JSON.stringify(cancelled.body)).toMatchObject({
        status: 200,
        body: { state: 'removed' },
      });
    });
    await running.api.faults([]);
    for (const { body } of [...more, waiting]) await app.state(body.id, 'booked');
    for (let event = 3; event <= 10; event += 1) {
      expect(await visitsOf(app.items + event)).toHaveLength(1);
    }
    expect(await visitsOf(app.items + 11)).toEqual([]);
  }, 120_000);

  test('Recloser is down and the app is killed: the request is submitted later, once', async () => {
    const app = await startApp(file, { start: false });
    await app.start(`http://127.0.0.1:${await freePort()}`);
    const { status, body } = await app.book(12);
    expect([status, body.state, body.call_id]).toEqual([202, 'booking', null]);
    await app.kill();
    await app.start();
    await app.state(body.id, 'booked');
    expect(await visitsOf(app.items + 12)).toHaveLength(1);
  });
});

describe('the guide', () => {
  const guide = readFileSync(join(root, 'docs/from-flask.md'), 'utf8');
  const files = globSync('*.py', { cwd: examples });
  const lines = (text: string): string =>
    text
      .split('\n')
      .map((line) => line.trim())
      .join('\n');
  const sources = files.map((file) => lines(readFileSync(join(examples, file), 'utf8')));
  const blocks = [...guide.matchAll(/^```python\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);

  test('contains exactly the code that runs here', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(7);
    const strange = blocks.filter((block) => !sources.some((source) => source.includes(lines(block).trim())));
    expect(strange).toEqual([]);
  });

  test('every file compiles', () => {
    for (const file of files) {
      const check = `import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 11))`;
      const compiled = spawnSync(python, ['-c', check, file], { cwd: examples });
      expect(String(compiled.stderr)).toBe('');
    }
  });
});

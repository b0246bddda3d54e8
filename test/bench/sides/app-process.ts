/**
 * The measured processes: our apps as in production, and the bench's scripts for the bare side. They write their output
 * to a file, so that reading it costs the bench no time.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@recloser/local-stack/process/free-port';

/** A running process. */
export type AppProcess = {
  readonly url: string;
  readonly pid: number;
  /** Sends SIGTERM, and SIGKILL after 20 s. Idempotent. */
  stop(): Promise<void>;
};

const projectDir = join(import.meta.dirname, '../../..');
const stopMs = 20_000;
const readyMs = 60_000;

/** The API key in `ourEnv`. */
export const benchKey = 'bench-key';

/** The environment of our apps in production, with Crossmark at `upstreamUrl` and defaults for the rest. */
export function ourEnv(options: {
  redisUrl: string;
  prefix?: string;
  upstreamUrl: string;
  more?: Readonly<Record<string, string>>;
}): Record<string, string> {
  const unused = 'http://127.0.0.1:9';
  return {
    NODE_ENV: 'production',
    NODE_COMPILE_CACHE: join(projectDir, '.cache/compiled'),
    HOST: '127.0.0.1',
    REDIS_URL: options.redisUrl,
    ...(options.prefix && { REDIS_PREFIX: options.prefix }),
    API_KEYS: `bench:${createHash('sha256').update(benchKey).digest('hex')}`,
    ADMIN_PASSWORD: 'bench-password-of-a-bench',
    SESSION_KEY: Buffer.alloc(32, 7).toString('base64'),
    WORKER_UPSTREAMS: 'crossmark',
    CROSSMARK_BASE_URL: options.upstreamUrl,
    CROSSMARK_USERNAME: 'simulator',
    CROSSMARK_PASSWORD: 'simulator',
    WALMART_EDR_BASE_URL: unused,
    WALMART_EDR_LOGIN_BASE_URL: unused,
    WALMART_EDR_USERNAME: 'simulator',
    WALMART_EDR_PASSWORD: 'simulator',
    WALMART_EDR_MFA_CREDENTIAL_ID: 'simulator',
    ...options.more,
  };
}

const portVariables = {
  web: 'WEB_PORT',
  worker: 'WORKER_HEALTH_PORT',
  admin: 'ADMIN_PORT',
  simulator: 'SIMULATOR_PORT',
} as const;

/** Resolves when the app is ready. */
export async function startApp(
  app: keyof typeof portVariables,
  env: Readonly<Record<string, string>>,
): Promise<AppProcess> {
  const port = await freePort();
  const file = join(projectDir, `apps/${app}/src/main.ts`);
  return start(file, { ...env, [portVariables[app]]: String(port) }, port);
}

/** Starts a script of the bench that listens on `PORT` and answers `/health/ready`. */
export async function startScript(name: string, env: Readonly<Record<string, string>>): Promise<AppProcess> {
  const port = await freePort();
  const own = { NODE_ENV: 'production', NODE_COMPILE_CACHE: join(projectDir, '.cache/compiled') };
  return start(join(import.meta.dirname, name), { ...own, ...env, PORT: String(port) }, port);
}

async function start(file: string, env: Record<string, string>, port: number): Promise<AppProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'recloser-bench-log-'));
  const log = join(dir, 'output');
  const output = openSync(log, 'w');
  // The shell's configuration must not affect the measured process.
  const { PATH = '', HOME = '' } = process.env;
  const child = fork(file, {
    cwd: projectDir,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', output, output, 'ipc'],
    execArgv: [],
  });
  const killWithUs = () => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(child, url);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${file}: ${(error as Error).message}\n${readFileSync(log, 'utf8').slice(-2_000)}`);
  }
  return {
    url,
    pid: child.pid ?? 0,
    async stop() {
      await end(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  const deadline = performance.now() + readyMs;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
    const ready = await fetch(`${url}/health/ready`).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status < 500;
      },
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('was not ready in time');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const deadline = setTimeout(() => child.kill('SIGKILL'), stopMs);
  await ended;
  clearTimeout(deadline);
}

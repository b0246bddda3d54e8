/**
 * Real Redis servers of a test's own, on free loopback ports, each with a folder of its own: to kill, freeze, cut off
 * and fail over.
 *
 * Always true: whatever was started ends with the test, by its process id, and its folder is removed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findRedis, type RedisCommand } from '@recloser/local-stack/find-redis';
import { freePort } from '@recloser/local-stack/free-port';
import { runCommand } from '@recloser/local-stack/run-command';
import { Redis, type RedisOptions } from 'ioredis';
import { onTestFinished, vi } from 'vitest';

/** A running `redis-server`, whatever it is: server, replica, sentinel, node of a cluster. */
export type RedisServer = {
  readonly port: number;
  readonly dir: string;
  /** A connection that ends with the test; made anew for each use that must not be disturbed by others. */
  connect(options?: RedisOptions): Redis;
  /** Ends it with `kill -9`. */
  kill(): Promise<void>;
  /** Ends it as an operator does. */
  stop(): Promise<void>;
  freeze(): void;
  thaw(): void;
};

/** `password`: what `connect` logs in with. `dir`: a folder with data in it. */
export type ServerOptions = {
  readonly args?: readonly string[];
  readonly config?: readonly string[];
  readonly sentinel?: boolean;
  readonly password?: string;
  readonly dir?: string;
  /** A free one unless given. */
  readonly port?: number;
  /** PEM files: it speaks TLS only, and asks clients for a certificate of the same authority. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
};

/** As in production; `appendfsync` as the test wants it. */
export const safeSettings = [
  ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
  ...['--maxmemory-policy', 'noeviction', '--repl-diskless-sync-delay', '0'],
] as const;

let command: Promise<RedisCommand> | undefined;

/** The server program; these tests run it themselves, so a container or a given address is of no use to them. */
export function redisCommand(): Promise<RedisCommand> {
  command ??= findRedis({
    env: { ...process.env, REDIS_URL: '' },
    cacheDir: join(import.meta.dirname, '../../.cache'),
  }).then((source) => {
    if (source.kind === 'command') return source;
    throw new Error('These tests need the program redis-server: install Debian package redis-server.');
  });
  return command;
}

/** Runs `redis-cli` and returns what it printed. Throws when it fails. */
export async function redisCli(args: readonly string[]): Promise<string> {
  const { file, env } = await redisCommand();
  const cli = join(dirname(file), 'redis-cli');
  const { status, output } = await runCommand(cli, [...args], {
    env: { ...process.env, ...env },
    timeoutMs: 60_000,
  });
  if (status !== 0) throw new Error(`redis-cli ${args[0]} failed: ${output}`);
  return output;
}

/** A folder that is removed when the test is over. */
export async function testFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'recloser-redis-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Starts one and waits until it takes connections. `args` win over the safe settings. */
export async function startRedisServer(options: ServerOptions = {}): Promise<RedisServer> {
  const { args = [], config = [], password, sentinel = false, tls } = options;
  const { file, env } = await redisCommand();
  const dir = options.dir ?? (await testFolder());
  const port = options.port ?? (await freePort());
  const configFile = join(dir, 'server.conf');
  await writeFile(configFile, ['bind 127.0.0.1', `dir ${dir}`, ...config].join('\n'));
  const settings = sentinel ? [] : [...safeSettings, ...args];
  const flags = [...portFlags(port, tls), ...settings, ...(sentinel ? ['--sentinel'] : [])];
  const child = spawn(file, [configFile, ...flags], { cwd: dir, env: { ...process.env, ...env } });
  onTestFinished(() => endProcess(child, 'SIGKILL'));
  await started(child);
  return {
    port,
    dir,
    connect(more = {}) {
      const known = { ...(password && { password }), ...(tls && { tls: certificates(tls) }) };
      const redis = new Redis({ host: '127.0.0.1', port, ...known, retryStrategy: () => 100, ...more });
      redis.on('error', () => {});
      onTestFinished(() => redis.disconnect());
      return redis;
    },
    kill: () => endProcess(child, 'SIGKILL'),
    stop: () => endProcess(child, 'SIGTERM'),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  };
}

type Tls = NonNullable<ServerOptions['tls']>;

function portFlags(port: number, tls: Tls | undefined): string[] {
  if (!tls) return ['--port', String(port)];
  const files = ['--tls-ca-cert-file', tls.ca, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key];
  return ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'yes', ...files];
}

const certificates = ({ ca, cert, key }: Tls) => ({
  ca: readFileSync(ca),
  cert: readFileSync(cert),
  key: readFileSync(key),
});

async function started(child: ChildProcess): Promise<void> {
  let said = '';
  child.stdout?.on('data', (chunk) => {
    said = (said + String(chunk)).slice(-4_000);
  });
  await vi.waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended: ${said}`);
      if (!/eady to accept connections|Sentinel ID is/.test(said)) throw new Error(`not started: ${said}`);
    },
    { timeout: 15_000, interval: 20 },
  );
}

async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill(signal);
  await ended;
}

/** One line of `INFO`, or undefined. */
export async function info(redis: Redis, name: string): Promise<string | undefined> {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(await redis.info())?.[1];
}

/**
 * Redis servers that a test can kill, freeze, disconnect and fail over, each on a free loopback port with its own folder.
 * They stop with the test, and their folders are deleted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { freePort } from '@recloser/local-stack/process/free-port';
import { runCommand } from '@recloser/local-stack/process/run-command';
import type { RedisCommand } from '@recloser/local-stack/redis/find-redis';
import { Redis, type RedisOptions } from 'ioredis';
import { inject, onTestFinished, vi } from 'vitest';
import { dockerLaunch, type Launch } from './redis-in-docker.ts';

/** A running `redis-server`: server, replica, sentinel or cluster node. */
export type RedisServer = {
  readonly port: number;
  readonly dir: string;
  /** Without TLS and password. */
  readonly url: string;
  /** Opens a new connection, which closes with the test. */
  connect(options?: RedisOptions): Redis;
  /** Sends SIGKILL. */
  kill(): Promise<void>;
  /** Shuts it down cleanly. */
  stop(): Promise<void>;
  freeze(): void;
  thaw(): void;
};

/** `password` is used by `connect`. `dir` is a folder with data. */
export type ServerOptions = {
  readonly args?: readonly string[];
  readonly config?: readonly string[];
  readonly sentinel?: boolean;
  readonly password?: string;
  readonly dir?: string;
  /** Default: a free port. */
  readonly port?: number;
  /** PEM files: the server accepts only TLS, and requires a client certificate of the same authority. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
};

/** The settings of production, except for `appendfsync`. */
export const safeSettings = [
  ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
  ...['--maxmemory-policy', 'noeviction', '--repl-diskless-sync-delay', '0'],
] as const;

/** The server program, for tests that need other programs of its package. */
function redisCommand(): RedisCommand {
  const own = inject('ownRedis');
  if (own.kind === 'command') return own;
  throw new Error('This test needs the program redis-server: install the Debian package redis-server.');
}

/** Runs `redis-cli` and returns its output. Throws if it fails. */
export async function redisCli(args: readonly string[]): Promise<string> {
  const { file, env } = redisCommand();
  const cli = join(dirname(file), 'redis-cli');
  const { status, output } = await runCommand(cli, [...args], {
    env: { ...process.env, ...env },
    timeoutMs: 60_000,
  });
  if (status !== 0) throw new Error(`redis-cli ${args[0]} failed: ${output}`);
  return output;
}

/** Creates a folder that is deleted after the test. */
export async function testFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'recloser-redis-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Starts a server and waits until it accepts connections. `args` override the safe settings. */
export async function startRedisServer(options: ServerOptions = {}): Promise<RedisServer> {
  const { args = [], config = [], password, sentinel = false, tls } = options;
  const dir = options.dir ?? (await testFolder());
  const port = options.port ?? (await freePort());
  const configFile = join(dir, 'server.conf');
  await writeFile(configFile, ['bind 127.0.0.1', `dir ${dir}`, ...config].join('\n'));
  const settings = sentinel ? [] : [...safeSettings, ...args];
  const flags = [...portFlags(port, tls), ...settings, ...(sentinel ? ['--sentinel'] : [])];
  const folders = [dir, ...(tls ? [tls.ca, tls.cert, tls.key].map(dirname) : [])];
  const { file, args: words, env, signal } = launch({ words: [configFile, ...flags], port, folders });
  const child = spawn(file, words, { cwd: dir, env: { ...process.env, ...env } });
  const send = (name: NodeJS.Signals) => (signal ? signal(name) : void child.kill(name));
  onTestFinished(() => endProcess(child, send, 'SIGKILL'));
  await started(child);
  return {
    port,
    dir,
    url: `redis://127.0.0.1:${port}`,
    connect(more = {}) {
      const known = { ...(password && { password }), ...(tls && { tls: certificates(tls) }) };
      const redis = new Redis({ host: '127.0.0.1', port, ...known, retryStrategy: () => 100, ...more });
      redis.on('error', () => {});
      onTestFinished(() => redis.disconnect());
      return redis;
    },
    kill: () => endProcess(child, send, 'SIGKILL'),
    stop: () => endProcess(child, send, 'SIGTERM'),
    freeze: () => send('SIGSTOP'),
    thaw: () => send('SIGCONT'),
  };
}

/** Returns the command for the Redis that `npm start` would find. */
function launch({ words, port, folders }: Parameters<typeof dockerLaunch>[1]): Launch {
  const own = inject('ownRedis');
  switch (own.kind) {
    case 'command':
      return { file: own.file, args: words, env: own.env };
    case 'docker':
      return dockerLaunch(own.image, { words, port, folders });
    case 'none':
      throw new Error(`This test needs a Redis of its own, beside that of REDIS_URL.\n${own.problem}`);
  }
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
    { timeout: 30_000, interval: 20 },
  );
}

async function endProcess(
  child: ChildProcess,
  send: (signal: NodeJS.Signals) => void,
  signal: NodeJS.Signals,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  send('SIGCONT');
  send(signal);
  await ended;
}

/** Returns one field of `INFO`, or undefined. */
export async function info(redis: Redis, name: string): Promise<string | undefined> {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(await redis.info())?.[1];
}

/**
 * An embedded Redis: one child process on loopback, with its data in a folder. It syncs the append-only file at every
 * command and never evicts keys. It runs outside our process group, so that Ctrl-C does not reach it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { Redis } from 'ioredis';
import { freePort, isPortFree } from '../process/free-port.ts';
import { runCommand } from '../process/run-command.ts';
import type { RedisSource } from './find-redis.ts';
import { takeDataDir } from './redis-lease.ts';

/** Redis did not start. The message contains its last output. */
export class RedisStartError extends Error {
  readonly code = 'redis_start_failed';
  override readonly name = 'RedisStartError';
}

export type EmbeddedRedisOptions = {
  readonly dataDir: string;
  readonly source: Exclude<RedisSource, { kind: 'url' }>;
  /** Default: a free port, which restarts keep. */
  readonly port?: number;
  /** Default: `always`. */
  readonly appendfsync?: 'always' | 'everysec' | 'no';
  readonly say?: (line: string) => void;
  /** Called when Redis exits unexpectedly. */
  readonly onUnexpectedExit?: (reason: string) => void;
};

export type EmbeddedRedis = {
  readonly url: string;
  readonly port: number;
  /** Undefined while no child runs. */
  readonly pid: number | undefined;
  /** Shuts Redis down cleanly and releases the folder. Idempotent. */
  stop(): Promise<void>;
  /** Sends SIGKILL and keeps the folder, for `restart`. */
  kill(): Promise<void>;
  /** Starts Redis again on the same port and data. Shuts it down cleanly first if it runs. */
  restart(): Promise<void>;
  /** Stops Redis from answering until `thaw`. */
  freeze(): void;
  thaw(): void;
  [Symbol.asyncDispose](): Promise<void>;
};

const stopMs = 10_000;
const portTries = 3;

/** Starts Redis and waits until it answers. Throws {@link RedisStartError} or `DataDirBusyError`. */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const dataDir = resolve(options.dataDir);
  const lease = await takeDataDir(dataDir, options.say ?? (() => {}));
  let server: Server;
  const start = async (port?: number): Promise<void> => {
    server = await startServer({ ...options, dataDir, port });
    if (server.child.pid && options.source.kind === 'command') {
      lease.record({ redisPid: server.child.pid, port: server.port });
    }
  };
  try {
    await start(options.port);
  } catch (error) {
    lease.release();
    throw error;
  }
  const end = (signal: NodeJS.Signals): Promise<void> => endServer(server, signal);
  const stop = async (): Promise<void> => {
    await end('SIGTERM');
    lease.release();
  };
  return {
    get url() {
      return `redis://127.0.0.1:${server.port}`;
    },
    get port() {
      return server.port;
    },
    get pid() {
      return hasEnded(server) ? undefined : server.child.pid;
    },
    stop,
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM');
      await start(server.port);
    },
    freeze: () => void server.child.kill('SIGSTOP'),
    thaw: () => void server.child.kill('SIGCONT'),
    [Symbol.asyncDispose]: stop,
  };
}

type Server = {
  readonly child: ChildProcess;
  readonly port: number;
  readonly ended: Promise<string>;
  readonly container: string | undefined;
  expected: boolean;
};

function hasEnded({ child }: Server): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function startServer(options: EmbeddedRedisOptions): Promise<Server> {
  if (options.port && !(await isPortFree(options.port))) {
    throw new RedisStartError(`Redis cannot start: port ${options.port} is in use.`);
  }
  for (let attempt = 1; ; attempt++) {
    const port = options.port || (await freePort());
    const server = await spawnServer(options, port);
    const client = new Redis({
      port,
      host: '127.0.0.1',
      retryStrategy: () => 25,
      maxRetriesPerRequest: null,
    });
    client.on('error', () => {});
    const failure = await Promise.race([answers(client, server), server.ended]);
    client.disconnect();
    if (failure === undefined) {
      void server.ended.then((reason) => server.expected || options.onUnexpectedExit?.(reason));
      return server;
    }
    server.expected = true;
    // Another program took the free port in the meantime.
    if (/already in use/i.test(failure) && !options.port && attempt < portTries) continue;
    throw new RedisStartError(`Redis (${options.source.description}) did not start. ${failure}`);
  }
}

/** Resolves once our own child answers, not another server on its port. By then Redis has loaded its append-only file. */
async function answers(client: Redis, { child, container }: Server): Promise<undefined> {
  const info = await client.info('server');
  if (!container && !info.includes(`process_id:${child.pid}\r\n`)) await new Promise(() => {});
  return undefined;
}

async function spawnServer(
  { source, dataDir, appendfsync = 'always' }: EmbeddedRedisOptions,
  port: number,
): Promise<Server> {
  const settings = { appendonly: 'yes', appendfsync, 'maxmemory-policy': 'noeviction', save: '' };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const container = source.kind === 'docker' ? containerName(dataDir) : undefined;
  // We hold the folder's lease, so a container of this name is a leftover of a crash.
  if (container) await runCommand('docker', ['rm', '--force', container]);
  const [file, args] =
    source.kind === 'docker'
      ? ['docker', [...dockerArgs(container ?? '', dataDir, port), source.image, 'redis-server', ...flags]]
      : [source.file, ['--port', String(port), '--bind', '127.0.0.1', ...flags]];
  const child = spawn(file, args, {
    cwd: dataDir,
    env: { ...process.env, ...(source.kind === 'command' && source.env) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const lastLines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      lastLines.push(...text.split('\n').filter(Boolean));
      lastLines.splice(0, lastLines.length - 15);
    });
  }
  const ended = new Promise<string>((done) => {
    child.once('error', (error) => done(error.message));
    child.once('close', (code, signal) =>
      done(`It exited (${signal ?? `exit status ${code}`}):\n${lastLines.join('\n')}`),
    );
  });
  return { child, port, ended, container, expected: false };
}

function containerName(dataDir: string): string {
  return `recloser-redis-${createHash('sha256').update(dataDir).digest('hex').slice(0, 12)}`;
}

/** Runs as the current user, who must own the files in the data folder. */
function dockerArgs(name: string, dataDir: string, port: number): string[] {
  const user = process.getuid && process.getgid ? ['--user', `${process.getuid()}:${process.getgid()}`] : [];
  return ['run', '--rm', '--name', name, ...user, '-p', `127.0.0.1:${port}:6379`, '-v', `${dataDir}:/data`];
}

async function endServer(server: Server, signal: NodeJS.Signals): Promise<void> {
  server.expected = true;
  if (hasEnded(server)) return;
  server.child.kill('SIGCONT'); // A stopped process cannot handle SIGTERM.
  if (signal === 'SIGKILL' && server.container)
    spawn('docker', ['kill', server.container], { stdio: 'ignore' });
  else server.child.kill(signal);
  const deadline = setTimeout(() => server.child.kill('SIGKILL'), stopMs);
  await server.ended;
  clearTimeout(deadline);
}

/**
 * The whole system as child processes: Redis, simulator, workers, web and admin. For `npm start`, the drill and tests.
 *
 * It stops in the order admin, web, workers, simulator, Redis: intake first, so that workers can still reach what they
 * need.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Env } from '@recloser/runtime/env/env';
import { type ChildExit, type ChildHandle, describeExit, startChild } from '../process/child.ts';
import { freePort } from '../process/free-port.ts';
import { waitUntilReady } from '../process/wait-until-ready.ts';
import { claimRedis } from '../redis/claim-redis.ts';
import { type EmbeddedRedis, startEmbeddedRedis } from '../redis/embedded-redis.ts';
import { findRedis } from '../redis/find-redis.ts';

export type AppName = 'simulator' | 'worker' | 'web' | 'admin';

export type StackOptions = {
  /** Overrides this process's environment for every app. If `REDIS_URL` is set, no embedded Redis is started. */
  readonly env?: Env;
  /** Default: 2. */
  readonly workers?: number;
  /** Contains Redis' data and the session key. */
  readonly dataDir: string;
  /** Folder of this installation's id. A given Redis with another id is refused. Absent: any Redis is accepted. */
  readonly installationDir?: string;
  /** 0 or absent: a free port. */
  readonly ports?: { readonly web?: number; readonly admin?: number; readonly simulator?: number };
  /** `inherit` prints the apps' output, each line with its app's name. */
  readonly stdio?: 'inherit' | 'ignore';
  /** Receives each line of output. Overrides `stdio`. */
  readonly onLine?: (name: string, line: string) => void;
  /** Receives messages of the stack itself. */
  readonly say?: (line: string) => void;
  /** Receives the process ids of all running apps after each start of one. */
  readonly onProcesses?: (pids: readonly number[]) => void;
  /** Restarts a worker that exits unexpectedly, with backoff. Default: false. */
  readonly restartWorkers?: boolean;
};

export type Stack = {
  readonly urls: { readonly web: string; readonly admin: string; readonly simulator: string };
  readonly redisUrl: string;
  /** The embedded Redis. Undefined if `REDIS_URL` is set. */
  readonly redis: EmbeddedRedis | undefined;
  readonly simulator: ChildHandle;
  readonly web: ChildHandle;
  readonly admin: ChildHandle;
  /** The running workers. */
  readonly workers: readonly ChildHandle[];
  /** Output of all apps, including exited ones. */
  output(): readonly string[];
  /** Resolves with the reason when a process that is not restarted exits unexpectedly. */
  readonly failed: Promise<string>;
  /** Starts one more worker and waits until it is ready. `env` overrides the stack's. */
  addWorker(env?: Env): Promise<ChildHandle>;
  /** Sends a signal, by default SIGKILL. Waits for the exit if the signal terminates. The app stays down until `revive`. */
  kill(handle: ChildHandle, signal?: NodeJS.Signals): Promise<void>;
  /** Starts an exited app again on its old port and waits until it is ready. */
  revive(handle: ChildHandle): Promise<ChildHandle>;
  /** Stops everything in order. Idempotent. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

const projectDir = fileURLToPath(new URL('../../../..', import.meta.url));
const readyMs = 30_000;
/** Longer than the apps' own stop deadlines. */
const stopMs = 30_000;

/** Starts everything and waits until all of it is ready. On failure, stops what has started and throws. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const builder = new StackBuilder(options);
  try {
    return await builder.start();
  } catch (error) {
    await builder.stop();
    throw error;
  }
}

class StackBuilder {
  readonly #options: StackOptions;
  /** Every child ever started, in order. */
  readonly #children = new Map<ChildHandle, { app: AppName; port: number; env: Env }>();
  readonly #failed = Promise.withResolvers<string>();
  #env: Env = {};
  #redis: EmbeddedRedis | undefined;
  #workerCount = 0;
  #stopping: Promise<void> | undefined;

  constructor(options: StackOptions) {
    this.#options = options;
  }

  async start(): Promise<Stack> {
    const { workers = 2, ports = {}, dataDir } = this.#options;
    const port = {
      simulator: ports.simulator || (await freePort()),
      web: ports.web || (await freePort()),
      admin: ports.admin || (await freePort()),
    };
    const urls = { web: urlOf(port.web), admin: urlOf(port.admin), simulator: urlOf(port.simulator) };
    const redisUrl = await this.#startRedis();
    await this.#claimRedis(redisUrl);
    this.#env = {
      // Halves the start time of apps from the second start on.
      NODE_COMPILE_CACHE: `${projectDir}.cache/compiled`,
      DATA_DIR: dataDir,
      HOST: '127.0.0.1',
      ...simulatedUpstreams(urls.simulator),
      ...withoutEmpty({ ...process.env, ...this.#options.env }),
      REDIS_URL: redisUrl,
    };
    const [simulator, web, admin] = await Promise.all([
      this.#startApp('simulator', 'simulator', port.simulator),
      this.#startApp('web', 'web', port.web),
      this.#startApp('admin', 'admin', port.admin),
      ...Array.from({ length: workers }, () => this.#addWorker()),
    ]);
    const current = (app: AppName, first: ChildHandle) => this.#of(app).at(-1) ?? first;
    const builder = this;
    const stop = () => this.stop();
    return {
      urls,
      redisUrl,
      redis: this.#redis,
      get simulator() {
        return current('simulator', simulator);
      },
      get web() {
        return current('web', web);
      },
      get admin() {
        return current('admin', admin);
      },
      get workers() {
        return builder.#of('worker').filter((worker) => !worker.hasExited);
      },
      output: () => [...this.#children.keys()].flatMap((child) => child.lines),
      failed: this.#failed.promise,
      addWorker: (env) => this.#addWorker(env),
      kill: killChild,
      revive: (handle) => this.#revive(handle),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  }

  async #startRedis(): Promise<string> {
    const { dataDir, say } = this.#options;
    const env = { ...process.env, ...this.#options.env };
    const source = await findRedis({ env, cacheDir: `${projectDir}.cache`, say });
    say?.(`Redis: ${source.description}`);
    if (source.kind === 'url') return source.url;
    const onUnexpectedExit = (reason: string) => this.#fail(`Redis exited unexpectedly. ${reason}`);
    this.#redis = await startEmbeddedRedis({ dataDir: `${dataDir}/redis`, source, say, onUnexpectedExit });
    return this.#redis.url;
  }

  /** Before anything of ours runs on it. */
  async #claimRedis(redisUrl: string): Promise<void> {
    const { env, installationDir, say } = this.#options;
    if (installationDir === undefined) return;
    await claimRedis({
      env: { ...process.env, ...env, REDIS_URL: redisUrl },
      installationDir,
      isOurs: this.#redis !== undefined,
      say,
    });
  }

  async #addWorker(env: Env = {}): Promise<ChildHandle> {
    this.#workerCount += 1;
    return this.#startApp('worker', `worker-${this.#workerCount}`, await freePort(), env);
  }

  async #startApp(app: AppName, name: string, port: number, env: Env = {}): Promise<ChildHandle> {
    const { onLine, stdio, onProcesses } = this.#options;
    const child = startChild({
      name,
      file: process.execPath,
      args: [`apps/${app}/src/main.ts`],
      cwd: projectDir,
      env: { ...this.#env, ...env, [portVariable[app]]: String(port) },
      onLine:
        onLine ??
        (stdio === 'inherit' ? (from, line) => console.log(`${from.padEnd(9)} ${line}`) : undefined),
      onUnexpectedExit: (ended, exit) => this.#ended(ended, exit),
    });
    this.#children.set(child, { app, port, env });
    const running = [...this.#children.keys()].filter((one) => !one.hasExited);
    onProcesses?.(running.flatMap(({ pid }) => pid ?? []));
    await waitUntilReady(child, urlOf(port), readyMs);
    return child;
  }

  #of(app: AppName): ChildHandle[] {
    return [...this.#children].filter(([, about]) => about.app === app).map(([child]) => child);
  }

  async #revive(handle: ChildHandle): Promise<ChildHandle> {
    const about = this.#children.get(handle);
    if (!about || !handle.hasExited) throw new Error(`${handle.name} is not an exited app of this stack`);
    return this.#startApp(about.app, handle.name, about.port, about.env);
  }

  #ended(child: ChildHandle, exit: ChildExit): void {
    if (this.#stopping) return;
    const reason = describeExit(child, exit);
    if (this.#children.get(child)?.app !== 'worker' || !this.#options.restartWorkers) {
      this.#fail(reason);
      return;
    }
    this.#options.say?.(`${reason}\n  Restarting it …`);
    void this.#restartWorker(child);
  }

  /** Waits 1, 2, 4 … 30 s between attempts. */
  async #restartWorker(child: ChildHandle): Promise<void> {
    for (let pauseMs = 1000; !this.#stopping; pauseMs = Math.min(pauseMs * 2, 30_000)) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (this.#stopping) return;
      try {
        await this.#revive(child);
        return;
      } catch (error) {
        this.#options.say?.(`${child.name} did not restart: ${(error as Error).message}`);
      }
    }
  }

  #fail(reason: string): void {
    if (!this.#stopping) this.#failed.resolve(reason);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const app of ['admin', 'web', 'worker', 'simulator'] as const) {
      await Promise.all(this.#of(app).map((child) => child.stop(stopMs)));
    }
    await this.#redis?.stop();
  }
}

const portVariable = {
  simulator: 'SIMULATOR_PORT',
  worker: 'WORKER_HEALTH_PORT',
  web: 'WEB_PORT',
  admin: 'ADMIN_PORT',
} as const satisfies Record<AppName, string>;

const urlOf = (port: number): string => `http://127.0.0.1:${port}`;

/** Points every upstream at the simulator. Upstreams are found by their folders, so a new one needs no change here. */
function simulatedUpstreams(simulatorUrl: string): Record<string, string> {
  const folder = `${projectDir}packages/upstreams/src`;
  const names = readdirSync(folder).filter((name) => existsSync(`${folder}/${name}/definition.ts`));
  return Object.fromEntries(
    names.flatMap((name) => {
      const prefix = name.toUpperCase().replaceAll('-', '_');
      return [
        [`${prefix}_BASE_URL`, `${simulatorUrl}/${name}`],
        [`${prefix}_LOGIN_BASE_URL`, `${simulatorUrl}/${name}-login`],
      ];
    }),
  );
}

/** An empty variable counts as unset, so it must not override a default. */
function withoutEmpty(env: Env): Env {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim()));
}

async function killChild(handle: ChildHandle, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  handle.signal(signal);
  if (signal === 'SIGKILL' || signal === 'SIGTERM' || signal === 'SIGINT') await handle.exited;
}

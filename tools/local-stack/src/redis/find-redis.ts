/**
 * Finds a Redis for development and tests, in this order: `REDIS_URL`, `redis-server` or `valkey-server` on the PATH,
 * the Debian or Ubuntu package unpacked into a private folder, Docker. Installs nothing and needs no root.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { runCommand } from '../process/run-command.ts';
import { unpackRedis } from './unpack-redis.ts';

export type RedisSource =
  | { readonly kind: 'url'; readonly url: string; readonly description: string }
  | RedisCommand
  | { readonly kind: 'docker'; readonly image: string; readonly description: string };

/** A server program, and the environment it needs (library path). */
export type RedisCommand = {
  readonly kind: 'command';
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
  readonly description: string;
};

/** No Redis was found. The message lists what was tried and what to do. */
export class RedisNotFoundError extends Error {
  readonly code = 'redis_not_found';
  override readonly name = 'RedisNotFoundError';
}

export type FindRedisOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where an unpacked package is kept. */
  readonly cacheDir: string;
  /** Called before a slow step, such as a download. */
  readonly say?: (line: string) => void;
};

const dockerImage = 'redis:7';
/** The first version with `SET … NX GET`, which idempotency keys need. */
const oldest = [7, 0] as const;

/** Finds a Redis. Throws {@link RedisNotFoundError}. */
export async function findRedis(options: FindRedisOptions): Promise<RedisSource> {
  const url = options.env.REDIS_URL?.trim();
  if (url) return { kind: 'url', url, description: 'the server in REDIS_URL' };
  const tried: string[] = [];
  const source =
    (await fromPath(options, tried)) ??
    (await fromPackage(options, tried)) ??
    (await fromDocker(options, tried));
  if (source) return source;
  throw new RedisNotFoundError(
    [
      'No Redis was found. Do one of the following:',
      '  - set REDIS_URL to a running Redis, for example redis://127.0.0.1:6379',
      '  - install redis-server or valkey-server (brew install redis, apt install redis-server, dnf install valkey)',
      '  - on Debian or Ubuntu, allow access to the package mirror: the package is then unpacked into a private folder',
      '  - start Docker',
      'Tried:',
      ...tried.map((line) => `  - ${line}`),
    ].join('\n'),
  );
}

async function fromPath({ env }: FindRedisOptions, tried: string[]): Promise<RedisSource | undefined> {
  const folders = (env.PATH ?? '').split(delimiter).filter(Boolean);
  for (const name of ['redis-server', 'valkey-server']) {
    for (const folder of folders) {
      const file = join(folder, name);
      if (!(await isExecutable(file))) continue;
      const problem = await checkServer(file, {});
      if (!problem) return { kind: 'command', file, env: {}, description: file };
      tried.push(`${file}: ${problem}`);
    }
  }
  if (tried.length === 0) tried.push('redis-server, valkey-server: not on the PATH');
  return undefined;
}

async function fromPackage(
  { env, cacheDir, say }: FindRedisOptions,
  tried: string[],
): Promise<RedisSource | undefined> {
  const unpacked = await unpackRedis({
    cacheDir: join(cacheDir, 'redis'),
    env,
    say: say ?? (() => {}),
    checkServer,
  });
  if (unpacked.ok) {
    const { file } = unpacked;
    return {
      kind: 'command',
      file,
      env: unpacked.env,
      description: `${file} (from the distribution's package)`,
    };
  }
  tried.push(unpacked.problem);
  return undefined;
}

async function fromDocker({ env }: FindRedisOptions, tried: string[]): Promise<RedisSource | undefined> {
  const { status, output } = await runCommand('docker', ['info', '--format', '{{.ServerVersion}}'], {
    env,
    timeoutMs: 5000,
  });
  if (status === 0)
    return { kind: 'docker', image: dockerImage, description: `Docker, image ${dockerImage}` };
  tried.push(`docker: ${output.trim().split('\n').at(-1) || 'no answer'}`);
  return undefined;
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Returns why this server program cannot be used, or undefined. */
export async function checkServer(
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const { status, output } = await runCommand(file, ['--version'], { env: { ...process.env, ...env } });
  if (status !== 0) return `does not run: ${output.trim().split('\n')[0] ?? ''}`;
  const version = /\bv=(\d+)\.(\d+)/.exec(output);
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  const recent = major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
  return recent
    ? undefined
    : `version ${major}.${minor} is too old; ${oldest.join('.')} or newer is required`;
}
